# Runs add-one with the lock held, again and again.
export ETCDCTL_ENDPOINTS=http://etcd:2379
while :; do
    etcdctl lock --ttl="$TTL" number python3 /usr/local/bin/add-one || echo "etcdctl: exit code $?"
done
