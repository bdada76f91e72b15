"""Values of the trade: instruments, money, orders, fills, ids, clocks. No input or output happens here."""
