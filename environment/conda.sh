# `conda activate ENV` and `conda deactivate` for shells; read by `conda shell.bash hook`, by
# `source /opt/conda/etc/profile.d/conda.sh`, and by `source /opt/conda/bin/activate ENV`.
conda() {
  case "${1:-}" in
    activate)
      _conda_prefix="${2:-base}"
      case "$_conda_prefix" in
        base) _conda_prefix="${CONDA_ROOT:-/opt/conda}" ;;
        */*) ;;
        *) _conda_prefix="${CONDA_ROOT:-/opt/conda}/envs/$_conda_prefix" ;;
      esac
      if [ ! -d "$_conda_prefix/bin" ]; then
        echo "conda: EnvironmentNameNotFound: no environment '${2:-base}'" >&2
        return 1
      fi
      [ -n "${_CONDA_OUTER_PATH:-}" ] || _CONDA_OUTER_PATH="$PATH"
      PATH="$_conda_prefix/bin:$_CONDA_OUTER_PATH"
      CONDA_PREFIX="$_conda_prefix"
      CONDA_DEFAULT_ENV="${2:-base}"
      export PATH CONDA_PREFIX CONDA_DEFAULT_ENV
      hash -r
      ;;
    deactivate)
      [ -z "${_CONDA_OUTER_PATH:-}" ] || PATH="$_CONDA_OUTER_PATH"
      unset CONDA_PREFIX CONDA_DEFAULT_ENV _CONDA_OUTER_PATH
      hash -r
      ;;
    *) command "${CONDA_ROOT:-/opt/conda}/bin/conda" "$@" ;;
  esac
}
if [ -n "${BASH_VERSION:-}" ] && [ "${BASH_SOURCE[0]##*/}" = activate ]; then
  conda activate "${1:-base}"
fi
