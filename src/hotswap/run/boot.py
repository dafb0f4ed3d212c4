"""The first of hotswap that a program under ``hotswap run`` sees: run by path (preload/python.c), whatever sys.path is.

Finds the package that this file is part of, and no other, also where the program's own environment has none or a different one.
"""


def _boot() -> None:
    import importlib.util
    import os
    import sys
    from importlib.machinery import EXTENSION_SUFFIXES

    def stop(sentence: str, code: int) -> None:
        os.write(2, f"hotswap: {sentence}\n".encode())
        os._exit(code)

    try:
        here = os.environ["HOTSWAP_RUN_BOOT"]
        package = os.path.dirname(os.path.dirname(here))
        if not any(os.path.exists(os.path.join(package, "engine", f"api{suffix}")) for suffix in EXTENSION_SUFFIXES):
            version = "{}.{}".format(*sys.version_info)
            stop(
                f"this hotswap is not built for the program's interpreter ({sys.executable}, Python {version}); install hotswap "
                "there and use its own hotswap command.",
                116,  # launch.OTHER_PYTHON
            )
        spec = importlib.util.spec_from_file_location(
            "hotswap", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
        )
        assert spec is not None and spec.loader is not None
        sys.modules["hotswap"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        from hotswap.run import inside

        inside.begin()
    except BaseException as error:  # noqa: BLE001  no program starts half helped
        code = getattr(error, "exit_code", 1)
        stop(str(error) if getattr(error, "exit_code", 0) else f"the start inside the program failed: {error!r}", code)


_boot()
