#!/bin/sh
# The test programs of BLAS and LAPACK, one after the other, for ever.
cd /usr/lib/x86_64-linux-gnu/lapack || exit 1
while :; do
    for type in d s z c; do
        for input in "$type"test.in; do
            echo "xlintst$type $input"
            ./xlintst$type < $input | grep -i 'passed\|failed\|error'
        done
        for input in nep.in sep.in svd.in "${type}"ec.in "${type}"bal.in gqr.in; do
            echo "xeigtst$type $input"
            ./xeigtst$type < $input | grep -i 'passed\|failed\|error'
        done
    done
done
