"""The packages of the private engine: an emulator for computers whose own one does not fit.

And those of the firmware that machines have been made with so far, whichever engine runs them.
"""

from __future__ import annotations

from branchpoint.debian.entry import Entry, PackageList

# Needed by modules for displays, sound, USB, card readers and NVRAM, which are never loaded, and by
# maintainer scripts, which never run.
_UNUSED = {
    "adduser",
    "base-passwd",
    "debconf",
    "gcc-14-base",
    "ipxe-qemu",
    "libacl1",
    "libasound2-data",
    "libasound2t64",
    "libattr1",
    "libaudit-common",
    "libaudit1",
    "libbrlapi0.8",
    "libbsd0",
    "libbz2-1.0",
    "libcacard0",
    "libcap-ng0",
    "libcrypt1",
    "libdb5.3t64",
    "libdebconfclient0",
    "libexecs1",
    "libmd0",
    "libncursesw6",
    "libnspr4",
    "libnss3",
    "libpam-modules",
    "libpam-modules-bin",
    "libpam0g",
    "libpcsclite1",
    "libsasl2-modules-db",
    "libsemanage-common",
    "libsemanage2",
    "libsepol2",
    "libsqlite3-0",
    "libsystemd0",
    "libtinfo6",
    "libusb-1.0-0",
    "libusbredirparser1t64",
    "login.defs",
    "openssl-provider-legacy",
    "passwd",
    "qemu-system-common",
}
ENGINE = PackageList(
    "qemu",
    ("qemu-system-data", "qemu-system-x86", "seabios"),
    lambda name: name not in _UNUSED,
)
"""QEMU, its firmware, and the libraries that the program itself is linked with."""
FIRMWARE = (
    Entry(
        name="qemu-system-data",
        version="1:10.0.2+ds-2+deb13u1~bpo12+1",
        path="pool/main/q/qemu/qemu-system-data_10.0.2+ds-2+deb13u1~bpo12+1_all.deb",
        size=2113148,
        sha256="2d831088187087013b3fcbd19bdfb955b182a2d5a08f6dafa0ad1c6d2007fb4e",
    ),
    Entry(
        name="seabios",
        version="1.16.3-2~bpo12+1",
        path="pool/main/s/seabios/seabios_1.16.3-2~bpo12+1_all.deb",
        size=164452,
        sha256="48390d0a534c66d11789e39518aa219773a9d3677b29fe1af8799dfb563ec713",
    ),
)
"""For :func:`branchpoint.debian.packages.exactly`; the files are below ``usr/share``."""
