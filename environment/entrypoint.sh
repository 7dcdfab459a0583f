#!/bin/bash
# MLE-bench's call sequence starts here, as root: open /home to everybody, then serve validation.
mkdir -p /home/logs
{
  # What agents' Dockerfiles put into /home is opened too; /home/data is mounted read-only. Links
  # are left alone, since chmod would follow them.
  find /home -path /home/data -prune -o ! -type l -exec chmod a+rw {} +
  exec /opt/conda/bin/conda run -n mleb python -u /private/grading_server.py
} 2>&1 | tee /home/logs/entrypoint.log
