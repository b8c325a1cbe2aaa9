# Ends with an error as soon as a debit has no credit.
while busybox sleep 0.25; do
  [ -e /book/pages ] || continue
  busybox awk '
    $1 == "debit" && open { print "audit: debit " open " has no credit"; exit 1 }
    { open = $1 == "debit" ? $2 : 0 }
  ' /book/pages || exit 1
done
