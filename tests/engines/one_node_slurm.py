"""A real Slurm of one node, its daemons started by hand: Debian's slurm-wlm and munge, as root."""

import contextlib
import os
import shutil
import socket
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
READY_S = 60.0


def missing():
    """Return the programs that are not here."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


@contextlib.contextmanager
def slurm_running(folder):
    """Start Slurm with all its files in a folder; yield the variables its commands need."""
    assert not missing(), f"apt-get install slurm-wlm munge (missing: {', '.join(missing())})"
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    conf = folder / "slurm.conf"
    conf.write_text(_configuration(folder))
    env = {**os.environ, "PATH": _path(), "SLURM_CONF": str(conf)}
    munge = [
        "munged",
        "--foreground",
        "--force",
        f"--key-file={key}",
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munged.seed",
    ]
    daemons = []
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            with (folder / f"{command[0]}.out").open("wb") as out:
                daemons.append(subprocess.Popen(command, env=env, stdout=out, stderr=out))
            if command is munge:
                _until((folder / "munge.socket").exists, folder)
        _until(lambda: b"idle" in _output(["sinfo", "-h", "-o", "%T"], env), folder)
        yield {"SLURM_CONF": str(conf), "PATH": _path()}
    finally:
        subprocess.run(["scancel", "--user=root"], env=env, check=False, capture_output=True)
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _path():
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _output(command, env):
    return subprocess.run(command, env=env, check=False, capture_output=True).stdout


def _until(true, folder):
    until = time.monotonic() + READY_S
    while not true():
        if time.monotonic() > until:
            logs = [path.read_text(errors="replace")[-2000:] for path in folder.glob("*.out")]
            raise AssertionError("Slurm does not start:\n" + "\n".join(logs))
        time.sleep(0.2)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _configuration(folder):
    host = socket.gethostname().split(".")[0]
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    return f"""\
ClusterName=aexp
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={_free_port()}
SlurmdPort={_free_port()}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=2
MinJobAge=30
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""
