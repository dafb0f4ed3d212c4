"""If each swapon makes a new object, is the old one freed under somebody who looks at it outside the read section?

Source: seed 003: "something like RCU is needed to enclose the accessor. But some accessor doesn't follow this".

    CPU 0 (figures)                   CPU 1 (off and on)
    ---------------                   ------------------
    area_figures()
      load(inuse)                                             // of the object that it found without entering
                                      swapoff_main()
                                        guard_retire() returns
                                        area_unmake() returns // swapon will make another
      load(pages_in)                                          <- the object is gone

Swapping the pointer makes an acquire after tryget needless (R09), and asks something in return: where rows are never freed, whoever only
reads a figure may do so at any time, even of an area that is off; where objects are freed, all of them have to enter. Both are rows below:
``accessor-outside`` does harm under rcu_pointer and none under percpu_ref, whose authors chose it for that. The lab's reader is the engine's
area_figures(), which enters.

The look-up itself is the other accessor: pointer and reference have to be taken within one read section. ``look-up-outside`` ends it in
between; a whole swapoff and swapon fit there, after which the reference is live again, as the next object's, and the pointer is
still the old one's.
"""

DESIGNS = ("none", "percpu_ref", "mmlist", "stop_machine", "stop_machine_work", "rcu", "srcu", "rcu_pointer")
EXPECT: dict[tuple[str, ...], str] = {
    **{(guard, ""): "never" for guard in DESIGNS},  # none too: it frees tables, and no figure is in one
    ("rcu_pointer", "", "weak"): "never",
    ("rcu_pointer", "accessor-outside"): "sometimes",
    ("percpu_ref", "accessor-outside"): "never",
    ("rcu_pointer", "look-up-outside"): "sometimes",
}


def setup(world):
    world.off = world.area(16)


def actors(world):
    def off_and_on():
        yield from world.swapoff(world.off)
        yield from world.swapon(16)

    area = world.twin.area
    return {"figures": lambda: area.area_figures(world.off, area.Figures.local().make()), "off and on": off_and_on}
