"""What people print, read on a wall or take away: maps, forms and ledgers made from plain values, without the web."""
