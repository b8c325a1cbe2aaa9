# Run by the workshop's machine, as root: starts the process of the OCI configuration in
# /system/extra/script, as containers are started, with /run/w/root as its root and no network. The wall
# clock begins at $1 (Unix seconds), as for other scripts.
set -eu
date --set "@$1" > /dev/null
mkdir /run/w/bundle
cp /system/extra/script /run/w/bundle/config.json
printf '127.0.0.1 localhost\n' > /run/w/bundle/hosts
exec crun --root=/run/w/crun --cgroup-manager=disabled run --bundle=/run/w/bundle run < /dev/null
