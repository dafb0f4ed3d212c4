"""May the look at "valid" and the look at the map lie on different sides of the moment at which the machine stands still?

Source: seed 000, Daniel Jordan's question about V7 (is a barrier missing in preempt_disable()?) and Andrea Parri's answer.

    CPU 0 (forget)                    CPU 1 (swapoff)
    --------------                    ---------------
    cache_forget()
      enter()
        load(valid)                                           // before the section, if that could be
                                      swapoff_main()
                                        stop() returns        // nobody is inside
                                        area_free_tables() returns
        preempt_disable() returns                             // and now somebody is
      mutex_lock(lock)                                        <- behind the lock it looks at the cache's index, which is gone

The answer has two halves, and each design that stops the machine needs both.

*Message passing*: a user who comes after the stop must see "not valid". The barrier in stop() orders a mark that is out and a flag that
is read (without it two stores may pass each other's loads: tso shows that too), the one in go() what was done during the stop and
"go on" (stop_machine_work clears its flag there; only weak shows it). ``flag-outside`` reads the flag before the mark is set, which is
what Jordan feared: any model finds it, sc as well. Nothing lets the compiler or the processor do that by itself.

*Load buffering*: a user who came before the stop must still see the index: its reads come before its mark falls, which the stopper
sees before it takes the tables away. That is the release in preempt_enable(). Without it (``leave-without-release``) nothing is found
here, and that says nothing: in the weak model a step is made when it is made, so a store is never seen before an earlier load of its CPU is
done (docs/models.md). The pattern is written out for herd7, with its verdicts, in docs/litmus: R08-load-buffering+once+once happens under
the kernel's model, +release+once and +completion-lock do not; R08-message-passing and R08-flag-order are the first half.
"""

STOPS = ("stop_machine", "stop_machine_work")
EXPECT: dict[tuple[str, ...], str] = {
    ("none", ""): "sometimes",
    **{(guard, "", model): "never" for guard in STOPS for model in ("sc", "tso", "weak")},
    ("stop_machine", "flag-outside"): "sometimes",
    ("stop_machine", "stop-without-barrier", "sc"): "never",
    ("stop_machine", "stop-without-barrier", "tso"): "sometimes",
    ("stop_machine", "stop-without-barrier", "weak"): "sometimes",
    ("stop_machine_work", "go-without-barrier", "sc"): "never",
    ("stop_machine_work", "go-without-barrier", "tso"): "never",
    ("stop_machine_work", "go-without-barrier", "weak"): "sometimes",
    ("stop_machine", "leave-without-release", "weak"): "never",
}


def setup(world):
    world.array = world.space(1)
    world.off = world.area(16)
    world.stale = world.twin.entry.make_entry(world.off, 1)


def actors(world):
    return {
        "forget": lambda: world.twin.cache.cache_forget(world.stale),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
