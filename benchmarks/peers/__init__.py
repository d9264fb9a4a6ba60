"""What else one could have built: each moves the same devices at the same carrier, and writes one row for each."""
