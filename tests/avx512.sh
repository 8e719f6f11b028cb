#!/bin/sh
# The instruction sets that this processor lacks: run unit programs on a processor with AVX-512 that Bochs emulates, under
# Debian's kernel.  For developers whose machine has no AVX-512 (`make test-avx512`): minutes; installs Bochs, GRUB and a
# kernel's files.
# test_math's check of the logarithm against long double fails there: Bochs' x87 logarithm, its reference, is some units
# of the last place of a double off.
#   tests/avx512.sh [program...]     (default: those that test kernels with a version for each instruction set)
set -eu
cd "$(dirname "$0")/.."
: "${BUILD:=build}" "${BOCHS_CPU:=corei7_skylake_x}"
[ $# -gt 0 ] || set -- test_math test_users test_votes test_evaluate test_evaluate_wide test_neighbors test_posterior
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  bochs bochs-term bochsbios vgabios grub-pc-bin grub-common xorriso mtools busybox-static cpio >/dev/null
folder=$BUILD/avx512
root=$folder/root
rm -rf "$root" "$folder/iso" "$folder/serial.txt"
mkdir -p "$root/bin" "$root/proc" "$root/dev" "$root/tests" "$folder/iso/boot/grub"
if ! ls "$folder"/kernel/boot/vmlinuz-* >/dev/null 2>&1; then
  image=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/{print $2; exit}')
  (cd "$folder" && apt-get download -qq "$image" 2>/dev/null && dpkg -x linux-image-*.deb kernel)
fi

# A disk with the kernel and, as its first and only files, the programs and their libraries.
cp /bin/busybox "$root/bin/"
for program in "$@"; do cp "$BUILD/tests/$program" "$root/tests/"; done
for library in $(for program in "$root"/tests/*; do ldd "$program"; done | grep -o '/[^ ]*' | sort -u); do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
export OPENBLAS_NUM_THREADS=1
for program in /tests/*; do
  echo "begin $program"
  $program
  echo "end $? $program"
done
/bin/busybox grep -o -m1 -w avx512f /proc/cpuinfo
echo "all done"
/bin/busybox sleep 60
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$folder/iso/boot/initrd"
cp "$folder"/kernel/boot/vmlinuz-* "$folder/iso/boot/vmlinuz"
# clearcpuid: Bochs 2.7 reports the uncompacted size for XSAVEC and XSAVES, and Linux then goes without any AVX.
cat >"$folder/iso/boot/grub/grub.cfg" <<'GRUB'
set timeout=0
menuentry tests {
linux /boot/vmlinuz console=ttyS0 quiet mitigations=off clearcpuid=321,323
initrd /boot/initrd
}
GRUB
grub-mkrescue -o "$folder/disk.iso" "$folder/iso" >/dev/null 2>&1
cat >"$folder/bochsrc" <<CONFIG
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=$BOCHS_CPU, count=1, ips=200000000
memory: guest=1024, host=1024
ata0: enabled=1
ata0-master: type=cdrom, path=$folder/disk.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$folder/serial.txt
clock: sync=none
log: $folder/bochs.log
CONFIG
echo c >"$folder/commands" # Debian's Bochs stops for its debugger first
TERM=vt100 script -qfc "bochs -q -f $folder/bochsrc -rc $folder/commands" /dev/null </dev/null >/dev/null 2>&1 &
emulator=$!
while kill -0 $emulator 2>/dev/null && ! grep -qs '^all done' "$folder/serial.txt"; do sleep 2; done
pkill -KILL -f "bochs.*$folder/bochsrc" || true
wait $emulator 2>/dev/null || true

# What they printed, as suites that tests/run.sh adds up.
tr -d '\r' <"$folder/serial.txt" >"$folder/said.txt"
grep -q '^avx512f$' "$folder/said.txt" || echo "the emulated processor shows no AVX-512: these runs say nothing about it"
for program in "$@"; do
  printf '#!/bin/sh\nsed -n "\\#^begin /tests/%s\\$#,\\#^end .*/tests/%s\\$#p" %s\nexit $(sed -n "s#^end \\([0-9]*\\) /tests/%s\\$#\\1#p" %s)\n' \
    "$program" "$program" "$folder/said.txt" "$program" "$folder/said.txt" >"$folder/$program"
  chmod +x "$folder/$program"
done
exec tests/run.sh $(for program in "$@"; do echo "$folder/$program"; done)
