import pytest


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Keep what a module measures in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
