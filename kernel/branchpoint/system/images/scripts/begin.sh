# Before packages are configured: nothing may start a service here.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

# A script that runs before dpkg unpacks its package, as dpkg runs it. (Our packages are unpacked.)
preinst() { # PACKAGE ARCHITECTURE FILE
    run preinst "$1" env DPKG_MAINTSCRIPT_PACKAGE="$1" DPKG_MAINTSCRIPT_ARCH="$2" \
        DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_DEBUG=0 \
        DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT= DPKG_FORCE=security-mac,downgrade DPKG_COLORS=never \
        DPKG_RUNNING_VERSION=1.22 "/var/lib/dpkg/info/$3.preinst" install
}
