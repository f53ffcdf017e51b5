#!/bin/bash
# hosts.sh up|down|run HOST COMMAND|cut HOST|crash HOST|boot HOST: four hosts in one, for `ray up` over real ssh.
#
# Each host has network, mount, pid, uts and ipc namespaces of its own, its own /tmp, /root, /run and /dev/shm, and,
# but for the laptop, an sshd. They see each other over a bridge in the laptop's namespace and nothing beyond it; the
# host that runs this sees none of it. /mnt is a disk that they share. HOSTS_DIR is a work folder, HOSTS_VENV the
# virtual environment of all, HOSTS_CODE the folder of the code under test, HOSTS_SEE more that they may read, parted
# by colons.
set -euo pipefail
dir=${HOSTS_DIR:?} venv=${HOSTS_VENV:?}
declare -A ip=([laptop]=10.77.0.254 [head]=10.77.0.1 [worker1]=10.77.0.2 [worker2]=10.77.0.3)
hosts=(laptop head worker1 worker2)

# Other tests run beside these: a machine whose heartbeats come late would be given up for dead.
renice -n -5 $$ >/dev/null 2>&1 || true

pid() { cat "$dir/$1/pid"; } # of the host's first process, as seen from outside

boot() {
  local name=$1 d=$dir/$1 outer inner=
  rm -rf "$d/run" "$d/tmp"
  mkdir -p "$d"/{tmp,root/.ssh,run/sshd,ssh} "$dir/shared"
  chmod 1777 "$d/tmp"
  chmod 700 "$d/root" "$d/root/.ssh"
  echo "export PATH=$venv/bin:\$PATH RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1 PYTHONPATH=${HOSTS_CODE:-}" >"$d/root/.bashrc"
  if [ "$name" = laptop ]; then
    install -m600 "$dir/keys/user" "$d/root/.ssh/id_ed25519"
  else
    install -m600 "$dir/keys/user.pub" "$d/root/.ssh/authorized_keys"
    install -m600 "$dir/keys/host" "$d/ssh/host_key"
    printf '%s\n' 'Port 22' 'HostKey /etc/ssh/host_key' 'PermitRootLogin prohibit-password' \
      'PasswordAuthentication no' 'UsePAM no' 'UseDNS no' 'MaxStartups 50' 'MaxSessions 100' \
      'PidFile /run/sshd.pid' 'Subsystem sftp internal-sftp' >"$d/ssh/sshd_config"
  fi
  unshare --net --mount --pid --uts --ipc --fork --kill-child=KILL --mount-proc --propagation private \
    "$0" init "$name" </dev/null >"$d/log" 2>&1 &
  outer=$!
  disown
  for _ in $(seq 400); do
    inner=$(ps -o pid= --ppid "$outer" | tr -d ' ') && [ -n "$inner" ] && [ -e "$d/run/ready" ] && break
    kill -0 "$outer" 2>/dev/null || { cat "$d/log" >&2; return 1; }
    sleep .05
  done
  echo "$inner" >"$d/pid"
  nsenter -t "$inner" -n ip link set lo up
  if [ "$name" = laptop ]; then
    nsenter -t "$inner" -n ip link add br0 type bridge
    nsenter -t "$inner" -n ip addr add "${ip[$name]}/24" dev br0
    nsenter -t "$inner" -n ip link set br0 up
  else
    nsenter -t "$(pid laptop)" -n ip link del "v$name" 2>/dev/null || true # of its life before
    nsenter -t "$(pid laptop)" -n ip link add "v$name" type veth peer name eth0 netns "$inner"
    nsenter -t "$(pid laptop)" -n ip link set "v$name" master br0 up
    nsenter -t "$inner" -n ip addr add "${ip[$name]}/24" dev eth0
    nsenter -t "$inner" -n ip link set eth0 up
    # Into the laptop, which forwards nothing: Ray finds its own address by asking for a way out.
    nsenter -t "$inner" -n ip route add default via "${ip[laptop]}"
  fi
}

init() { # the first process of a host
  local name=$1 d=$dir/$1 path
  hostname "$name"
  mount -t tmpfs -o mode=1777,size=1g tmpfs /dev/shm
  { echo 127.0.0.1 localhost; for h in "${hosts[@]}"; do echo "${ip[$h]} $h"; done; } >"$d/hosts"
  mount --bind "$d/hosts" /etc/hosts
  mount --bind "$d/ssh" /etc/ssh
  mount --bind "$d/run" /run
  mount --bind "$dir/shared" /mnt
  # What lies in the folders that are about to be hidden, and is needed, shows through, read only.
  IFS=: read -ra see <<<"$venv:$("$venv/bin/python" -c 'import sys; print(sys.base_prefix)'):${HOSTS_SEE:-}"
  for path in "${see[@]}"; do
    case $path in /tmp/* | /root/*)
      mkdir -p "$d$path"
      mount --bind -o ro "$path" "$d$path"
      mount -o remount,bind,ro "$d$path"
      ;;
    esac
  done
  mount --rbind "$d/root" /root
  mount --rbind "$d/tmp" /tmp
  cd /
  [ "$name" = laptop ] || /usr/sbin/sshd -D -e </dev/null &
  touch /run/ready
  while :; do sleep 1000 & wait $! || true; done # takes in orphans
}

case ${1:-} in
  up)
    mkdir -p "$dir/keys"
    for key in user host; do ssh-keygen -q -t ed25519 -N '' -f "$dir/keys/$key"; done
    for name in "${hosts[@]}"; do boot "$name"; done
    ;;
  init) init "$2" ;;
  run)
    exec nsenter -t "$(pid "$2")" -m -n -p -u -i --wdns=/root env -i HOME=/root USER=root LOGNAME=root TERM=dumb \
      LANG=C.UTF-8 PATH="$venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
      RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1 PYTHONPATH="${HOSTS_CODE:-}" bash -c "$3"
    ;;
  boot) boot "$2" ;; # once more after a crash, its disk as it was but for /tmp
  cut) nsenter -t "$(pid laptop)" -n ip link set "v$2" down ;; # off from the net
  crash) # as a power cut: nothing that says farewell leaves the host
    "$0" cut "$2"
    kill -9 "$(pid "$2")"
    rm -f "$dir/$2/pid"
    ;;
  down) # a namespace's first process takes all the others with it
    for name in "${hosts[@]}"; do
      if [ -e "$dir/$name/pid" ]; then kill -9 "$(pid "$name")" 2>/dev/null || true; rm -f "$dir/$name/pid"; fi
    done
    ;;
  *) sed -n 2,10p "$0"; exit 2 ;;
esac
