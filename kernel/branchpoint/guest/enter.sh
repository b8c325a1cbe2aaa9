# Run by the workshop's machine, as root: starts /system/extra/script in the tree at /run/w/root, in
# namespaces of its own, so that nothing of it is left when it ends. The wall clock begins at $1 (Unix
# seconds), before that of any system: what is made here, a certificate say, is never of the future.
set -eu
if [ "$1" != inside ]; then
    date --set "@$1" > /dev/null
    exec unshare --mount --pid --net --ipc --uts --fork --kill-child sh "$0" inside < /dev/null
fi
cd /run/w/root
hostname debian
ip link set lo up
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 dev dev
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
# As in every container. The empty file that stays is what docker leaves in images, too.
[ -e etc/hosts ] || : > etc/hosts
printf '127.0.0.1 localhost\n127.0.1.1 debian\n' > /run/hosts
mount --bind /run/hosts etc/hosts
mkdir dev/branchpoint
mount --bind /system/extra dev/branchpoint
exec env -i HOME=/root TERM=dumb LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    DEBCONF_NONINTERACTIVE_SEEN=true \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /bin/sh -e /dev/branchpoint/script
