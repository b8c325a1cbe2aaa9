# Asks the sentinel of its site who the primary is, and writes there, once a second. When no write was
# accepted for PATIENCE tries, that is the end: exit code 1.
PATIENCE=8

ask() { timeout 1 redis-cli --raw "$@" 2>&1; }

# First, each sentinel has to know the others and both replicas.
for site in site1 site2 site3; do
    until ask -h $site.sentinel -p 26379 sentinel ckquorum shop | grep -q '^OK 3' &&
        [ "$(ask -h $site.sentinel -p 26379 sentinel replicas shop | grep -c '^name$')" = 2 ]; do
        sleep 1
    done
done
ask -h site2.sentinel -p 26379 info server | grep '^redis_version'
touch /run/ready
without=0
while sleep 1; do
    primary=$(ask -h site2.sentinel -p 26379 sentinel get-master-addr-by-name shop)
    primary=${primary%%
*}
    case $(ask -h "$primary" incr sold) in
        [0-9]*) without=0 ;;
        *) without=$((without + 1)) ;;
    esac
    if [ $without -ge $PATIENCE ]; then
        echo "nothing was sold in $without tries; the primary is said to be $primary"
        exit 1
    fi
done
