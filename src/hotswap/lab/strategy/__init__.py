"""Which schedules are tried: one file a strategy behind the contract. ``exhaustive`` leaves nothing out (within its bound)."""
