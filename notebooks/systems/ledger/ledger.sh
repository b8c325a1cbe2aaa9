# Books something every half second: first the debit, a moment later the credit.
number=$(busybox grep -c debit /book/pages 2>/dev/null)
while busybox sleep 0.4; do
  number=$((number + 1))
  echo "debit $number" >>/book/pages
  busybox sleep 0.1
  echo "credit $number" >>/book/pages
  echo "booked $number"
done
