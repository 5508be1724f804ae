# Run inside a fresh user and mount namespace, as its root: mounts a container's volumes over its root file system, and
# becomes the container's process.
#   root  user  read-only-root(ro|rw)  { ro|rw folder mount-path }...  --  program arguments...
set -eu
root=$1 user=$2 mode=$3
shift 3
mount --bind "$root" "$root"
for folder in dev proc; do
  mkdir -p "$root/$folder"
  mount --rbind "/$folder" "$root/$folder"
done
while [ "$1" != -- ]; do
  mkdir -p "$root$3"
  mount --bind "$2" "$root$3"
  [ "$1" = rw ] || mount -o remount,bind,ro "$root$3"
  shift 3
done
shift
[ "$mode" = rw ] || mount -o remount,bind,ro "$root"
# A second user namespace, so that the process has the container's user and none of the capabilities used above.
exec unshare --user --map-user="$user" --map-group="$user" --root="$root" --wd=/ "$@"
