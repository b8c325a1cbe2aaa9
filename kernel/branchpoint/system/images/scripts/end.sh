# What is left: triggers. Then nothing may be unfinished.
dpkg --configure -a
unfinished=$(dpkg --audit)
if [ -n "$unfinished" ]; then
    echo "$unfinished"
    exit 1
fi
rm /usr/sbin/policy-rc.d
# These tell of the machine and its clock, not of the packages.
rm -f /var/cache/ldconfig/aux-cache /var/log/dpkg.log /var/log/alternatives.log \
    /var/log/bootstrap.log /var/lib/dpkg/*-old /var/cache/debconf/*-old
