"""Can the user of an old entry see that an area is on before it sees the area's map?

Source: seed 000 (V4: "use synchronize_rcu() in enable_swap_info()"): VALID is set, and seen, before map and clusters.

    CPU 0 (count)                     CPU 1 (swapon)
    -------------                     --------------
                                      area_publish()
                                        guard_publish()
                                          store(valid)        // and no grace period before it
    swap_count()
      enter()
        load(valid)                                           // on: so it goes on
      plain_load(map) stale
      mutex_lock(lock)                                        <- behind the lock it reads the map from before: NULL

The row was another area's once, so old entries name it, and their users may come at any moment of a swapon. "Valid" last is enough
where stores and loads stay in order (``publish-first`` breaks that and is found under sc). Elsewhere both sides need an order: swapon
between set-up and "valid", the user between "valid" and the fields. percpu_ref and rcu_pointer have a release and an acquire (without
the release: weak only; without the acquire: R09). rcu, srcu and the stops of the machine have a barrier on every CPU in between, which
orders both sides, so their users have none; left out, weak finds it, and sc and tso, where x86 is, do not. mmlist has the mmap locks.

``none`` lets users in at any time: before the set-up, and in the midst of it. docs/litmus has the patterns (R05-publication).
"""

DESIGNS = ("percpu_ref", "mmlist", "stop_machine", "stop_machine_work", "rcu", "srcu", "rcu_pointer")

EXPECT: dict[tuple[str, ...], str] = {
    ("none", ""): "sometimes",
    **{(guard, "", model): "never" for guard in DESIGNS for model in ("sc", "weak")},
    ("percpu_ref", "", "tso"): "never",
    ("percpu_ref", "publish-first"): "sometimes",
    ("percpu_ref", "publish-no-release", "sc"): "never",
    ("percpu_ref", "publish-no-release", "tso"): "never",
    ("percpu_ref", "publish-no-release", "weak"): "sometimes",
    ("rcu", "no-grace-period", "sc"): "never",
    ("rcu", "no-grace-period", "tso"): "never",
    ("rcu", "no-grace-period", "weak"): "sometimes",
    ("srcu", "no-srcu-grace-period", "weak"): "sometimes",
    ("mmlist", "no-visit", "weak"): "sometimes",
    ("stop_machine", "no-stop", "sc"): "never",
    ("stop_machine", "no-stop", "tso"): "never",
    ("stop_machine", "no-stop", "weak"): "sometimes",
}


def setup(world):
    world.area(16, priority=-1)
    off = world.area(16)
    world.stale = world.twin.entry.make_entry(off, 1)
    world.alone(world.swapoff(off))


def actors(world):
    return {"count": lambda: world.count(world.stale), "swapon": lambda: world.swapon(16)}
