#!/bin/bash
# Makes the image of a kind node without an image registry, out of Debian packages and programs that were built from Go
# modules: the Debian system, kind's own files laid over it as its Dockerfile does, and in its containerd the images of the
# control plane.
#
#   node.sh IMAGE PROGRAMS KIND-FILES ROOTFS NAME:TAG...
#
# PROGRAMS holds them all by name; ROOTFS is where the Debian system is kept between runs; NAME:TAG are the images of the
# cluster's own pods. Needs root, gcc with a static libc, jq, debootstrap, and a Docker Engine at $DOCKER_HOST.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
image=$1 programs=$2 kind_files=$3 rootfs=$4
shift 4
work=$(mktemp -d)
builder=
trap '[[ -z $builder ]] || docker rm -f "$builder" > /dev/null; rm -rf "$work"' EXIT

# Debian: what kind's own base image installs, less NFS, iSCSI and FUSE, and with Debian's containerd and runc.
# It has to be Debian 12: the systemd of Debian 13 starts on cgroup v1 only with an option on the kernel's command line.
root=$work/root
if [[ ! -e $rootfs ]]; then
  packages=systemd,conntrack,iptables,ipset,nftables,iproute2,ethtool,util-linux,mount,kmod,libseccomp2,pigz,e2fsprogs
  packages+=,bash,ca-certificates,curl,jq,procps,containerd,runc,containernetworking-plugins
  debootstrap --variant=minbase --include=$packages bookworm "$root" > "$work/debootstrap.log" ||
    { tail -5 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/{lib/apt/lists,log}/* "$root"/usr/share/{doc,man,locale}/* \
    "$root"/dev/*
  tar -C "$root" -cf "$rootfs.unfinished" .
  mv "$rootfs.unfinished" "$rootfs"
else
  mkdir "$root"
  tar -C "$root" -xf "$rootfs"
fi

# The images of the cluster's own pods: a program each and nothing else. Two also get the firewall tools of the node.
images=()
import() { # NAME:TAG FOLDER ENTRYPOINT
  images+=("comanda.test/$1")
  tar -C "$2" --owner=0 --group=0 -cf - . | docker import --change "ENTRYPOINT [\"$3\"]" \
    --change 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "comanda.test/$1" > /dev/null
}
mkdir "$work/kube-proxy"
# The extensions' libraries too: iptables loads its matches as plugins, and without them Services with two pods fail.
chroot "$root" sh -c 'cd / && tar --dereference --hard-dereference -cf - $({
    extensions=$(ls /usr/lib/*/xtables/*.so)
    echo "$extensions"
    ls /usr/sbin/iptables* /usr/sbin/ip6tables* /usr/sbin/nft /usr/sbin/ipset /usr/sbin/conntrack
    ldd /usr/sbin/xtables-nft-multi /usr/sbin/nft /usr/sbin/ipset /usr/sbin/conntrack $extensions |
      grep -o "/.*[^:]" | cut -d" " -f1
  } | sort -u | cut -c2-)' | tar -C "$work/kube-proxy" -xf -
cp -a "$work/kube-proxy" "$work/kube-router"
for tagged in "$@"; do
  name=${tagged%:*}
  mkdir -p "$work/$name"/{etc,tmp,usr/local/bin}
  cp -L "$programs/$name" "$work/$name/usr/local/bin/"
  import "$tagged" "$work/$name" "/usr/local/bin/$name"
  rm -rf "${work:?}/$name"
done
mkdir "$work/pause"
gcc -Os -static -s -o "$work/pause/pause" "$here/node/pause.c"
import pause:1 "$work/pause" /pause

# The node: kind's files laid over Debian as its Dockerfile does.
install -D -m 755 -t "$root/usr/local/bin" "$kind_files"/usr/local/bin/*
mkdir -p "$root"/kind/manifests "$root"/etc/{kubernetes/manifests,cni/net.d} "$root/opt/cni"
cp -r "$kind_files/kind/." "$root/kind/"
cp -r "$kind_files/etc/." "$root/etc/"
chmod -R u=rwX,go=rX "$root/kind" "$root"/etc/{containerd,systemd,sysctl.d,default,crictl.yaml}
chmod 755 "$root"/kind/bin/*
rm -f "$root"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
  "$root"/lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* "$root"/etc/systemd/system/*.wants/* \
  "$root"/lib/systemd/system/sockets.target.wants/*{udev,initctl}*
echo 'ReadKMsg=no' >> "$root/etc/systemd/journald.conf"
ln -sf /usr/lib/systemd/systemd "$root/sbin/init"
ln -s /usr/bin/{containerd,ctr,containerd-shim-runc-v2} "$root/usr/local/bin/"
ln -s /usr/lib/cni "$root/opt/cni/bin"
chroot "$root" ctr oci spec | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}]
  | del(.process.rlimits)' > "$root/etc/containerd/cri-base.json"
cp -L "$programs"/{kubeadm,kubelet,kubectl} "$root/usr/bin/"
echo -n "$("$programs/kubelet" --version | cut -d' ' -f2)" > "$root/kind/version"

# Ours: the pause image, no CAP_SYS_RESOURCE, a pod network, a StorageClass that provisions nothing.
sed -i -e 's|sandbox_image = .*|sandbox_image = "comanda.test/pause:1"|' \
  -e 's|restrict_oom_score_adj = false|restrict_oom_score_adj = true|' "$root/etc/containerd/config.toml"
install -m 755 -t "$root/kind/bin" "$here/node/pod-network.sh"
install -m 644 -t "$root/etc/systemd/system" "$here/node/pod-network.service"
install -m 644 "$here/node/storage.yaml" "$root/kind/manifests/default-storage.yaml"
chroot "$root" systemctl enable --quiet kubelet containerd undo-mount-hacks pod-network
chroot "$root" systemctl mask --quiet systemd-binfmt
tar -C "$root" -cf - . | docker import - "$image-files" > /dev/null
docker build --quiet --tag "$image-empty" - > /dev/null << END
FROM $image-files
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
END

# The images go into the node's containerd, as kind's own build does it: unpacked only when a node starts.
builder=$(docker run -d --network none --security-opt seccomp=unconfined --entrypoint sleep "$image-empty" infinity)
docker exec -d "$builder" containerd
for ((tries = 0; tries < 150; tries++)); do
  docker exec "$builder" ctr version > /dev/null 2>&1 && break
  sleep 0.2
done
docker save "${images[@]}" | docker exec -i "$builder" ctr -n k8s.io images import --no-unpack - > /dev/null
docker exec "$builder" pkill -x containerd
docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' "$builder" "$image" > /dev/null
docker rm -f "$builder" > /dev/null
builder=
docker rmi --no-prune "$image-empty" "$image-files" "${images[@]}" > /dev/null
