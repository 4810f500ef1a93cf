import pytest

# Fixtures import what they need: the process that hands tests out to others loads this file too.


@pytest.fixture
def sources(tmp_path):
    from helpers.coloured_people import make_sources

    return make_sources(tmp_path / 'scenes')


@pytest.fixture
def searcher():
    from helpers.coloured_people import ColourNetwork

    from mmps.apis import PersonSearcher

    return PersonSearcher.of_network(ColourNetwork())


@pytest.fixture
def gallery(sources, searcher):
    from helpers.coloured_people import make_gallery

    return make_gallery(sources, searcher)


@pytest.fixture
def service(searcher, gallery):
    from mmps.web import SearchService

    return SearchService(searcher, gallery, max_pixels=1_000_000)


@pytest.fixture
def picture():
    from helpers.coloured_people import make_picture

    return make_picture()


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """A server of the page on this machine: its address, gallery, folder and a client."""
    from helpers.page_server import site

    with site(tmp_path_factory.mktemp('site')) as serving:
        yield serving


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
    from helpers.browser import chromium

    with chromium(tmp_path_factory.mktemp('chromium'), logged=True) as driver:
        yield driver
