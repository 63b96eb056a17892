# Starts systemd as process 1 of the namespaces that this runs in: with a root in memory, the host's programs
# read-only, and the folder $2 at its place. $1 is where the root is put together.
set -e
mount --make-rprivate /
root=$1
mount -t tmpfs -o mode=755 root "$root"
for name in usr bin sbin lib lib64; do
    [ -e "/$name" ] || continue
    if [ -L "/$name" ]; then
        cp -a "/$name" "$root/"
    else
        mkdir "$root/$name"
        mount --rbind "/$name" "$root/$name"
        mount -o remount,bind,ro "$root/$name"
    fi
done
cd "$root"
mkdir -p etc/systemd/system run tmp var/tmp var/lib var/log proc sys dev root home mnt
cp -a /etc/passwd /etc/group /etc/nsswitch.conf etc/
echo 00000000000000000000000000000001 > etc/machine-id
mkdir -p "./$2"
mount --bind "$2" "./$2"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do
    mknod -m 666 "dev/$name" c $(stat -c '0x%t 0x%T' "/dev/$name")
done
# What a unit is not to see.
mknod -m 600 dev/kmsg c 1 11
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs run run
mount -t tmpfs tmp tmp
mount -t cgroup2 cgroup2 sys/fs/cgroup
pivot_root . mnt
cd /
umount -l /mnt
export container=ctrlz-test
exec /lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=0
