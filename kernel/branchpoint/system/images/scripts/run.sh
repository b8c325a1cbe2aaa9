# Runs the rest of its words; when that fails, says of what kind and name it was, and ends.
run() { # KIND NAME COMMAND...
    kind=$1 name=$2 code=0
    shift 2
    "$@" < /dev/null || code=$?
    if [ "$code" != 0 ]; then
        echo "branchpoint: $kind $name ended with code $code"
        exit "$code"
    fi
}
