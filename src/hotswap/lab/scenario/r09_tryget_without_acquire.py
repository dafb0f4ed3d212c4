"""Can a reference be live again while the fields read through it are those of the area before?

Source: seed 003: is an acquire needed after percpu_ref_tryget_live()? (Yes: the smp_rmb() of commit 63d8620ecf93.)

    CPU 0 (count)                     CPU 1 (off and on)
    -------------                     ------------------
                                      swapoff_main() returns
                                      area_publish()
                                        resurrect() returns   // live again, with release
    swap_count()
      enter()
        load(live)                                            // live: so it goes on
      plain_load(map) stale
      mutex_lock(lock)                                        <- behind the lock it reads the map that swapoff took out

The reader branches on "live", and a branch orders no reads: the fields behind it may come from before the swapoff, whatever swapon
released. The area's lock does not help a reader who takes it before area_activate() does. One processor keeps loads in order and the
next does not, so the fix is an acquire after "live". Without it nothing is ever wrong where loads are kept in order (sc, tso: x86): no
test on such a machine shows it. With it the reader sees all that came before the release in resurrect(). docs/litmus has the pattern
for herd7 (R09-tryget).

The designs that make every CPU run a barrier between set-up and "valid" need no acquire there, rcu_pointer has it at the pointer: see R05.
"""

EXPECT: dict[tuple[str, ...], str] = {
    **{(guard, "", "weak"): "never" for guard in ("mmlist", "rcu", "srcu", "stop_machine", "stop_machine_work", "rcu_pointer")},
    ("percpu_ref", "", "sc"): "never",
    ("percpu_ref", "", "tso"): "never",
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "no-acquire", "sc"): "never",
    ("percpu_ref", "no-acquire", "tso"): "never",
    ("percpu_ref", "no-acquire", "weak"): "sometimes",
}


def setup(world):
    world.off = world.area(16)
    world.stale = world.twin.entry.make_entry(world.off, 1)


def actors(world):
    def off_and_on():
        yield from world.swapoff(world.off)
        yield from world.swapon(16)

    return {"count": lambda: world.count(world.stale), "off and on": off_and_on}
