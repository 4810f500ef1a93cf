"""The page in Chromium. ``make test-browser`` runs these."""

import base64
import json
import re
from pathlib import Path

import pytest
from helpers.browser import NARROW, Browser
from helpers.coloured_people import make_picture
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from mmps.evaluation.functional import Calibration
from mmps.retrieval import Where

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(site, driver):
    """Afterwards nothing may have gone wrong in it, or have been asked of another server."""
    browser = Browser(driver, site.address)
    yield browser
    errors = [entry for entry in driver.get_log('browser') if entry['level'] == 'SEVERE']
    assert errors == []
    messages = [json.loads(entry['message'])['message'] for entry in driver.get_log('performance')]
    asked = [
        message['params']['request']['url']
        for message in messages
        if message['method'] == 'Network.requestWillBeSent'
    ]
    elsewhere = (site.address, 'file:', 'data:', 'blob:', 'about:', 'chrome:', 'chrome-untrusted:')
    assert asked and [url for url in asked if not url.startswith(elsewhere)] == []


@pytest.fixture
def picture_file(tmp_path):
    path = tmp_path / 'me.png'
    path.write_bytes(make_picture())
    return str(path)


def search(browser, picture_file):
    """For the person on the left of the picture."""
    browser.all('#picker input[type=file]')[0].send_keys(picture_file)
    browser.wait('[data-person="0"]').click()
    browser.wait('.ps-hit')


@pytest.fixture
def searched(browser, picture_file):
    browser.open()
    search(browser, picture_file)
    return browser


def test_upload_click_and_ranked_hits(searched, site):
    assert len(searched.all('#picker .ps-box')) == 2
    assert len(searched.ids()) == site.gallery.info().appearances
    first = searched.all('.ps-hit')[0].text
    assert '1.00' in first and 'cam 1' in first and 'cam1_a.png' in first
    searched.wait('.ps-chips', 'me.png')
    drawn = 'return [...document.images].every(i => i.complete && i.naturalWidth > 0)'
    WebDriverWait(searched.driver, 20).until(lambda _: searched.run(drawn))


def test_a_box_lies_on_the_person(searched):
    box = searched.all('[data-person="0"]')[0].rect
    image = searched.all('#picker img')[0].rect
    scale = image['width'] / 160
    assert box['x'] - image['x'] == pytest.approx(10 * scale, abs=2)
    assert box['y'] - image['y'] == pytest.approx(20 * scale, abs=2)
    assert box['width'] == pytest.approx(24 * scale, abs=2)
    assert box['height'] == pytest.approx(60 * scale, abs=2)


def test_a_hit_at_its_time_in_the_video(searched, site):
    blue = site.gallery.people_in(str(site.folder / 'scenes/door.mp4'), 10)[0]
    searched.wait(f'[data-act=open][data-id="{blue.id}"]').click()
    searched.wait('dialog[open] .ps-match')
    searched.wait('dialog[open] .ps-steps', '0:00:01.0')
    clock = 'const v = document.querySelector("dialog video"); return v ? v.currentTime : 1'
    WebDriverWait(searched.driver, 20).until(lambda _: searched.run(clock) == pytest.approx(1))
    searched.wait('dialog [data-step="-1"]').click()
    searched.wait('dialog[open] .ps-steps', '0:00:00.0')
    searched.wait('dialog [data-step="-5"]').click()
    searched.wait('dialog[open] .ps-steps', 'does not go further')
    # the browser notes that this frame is not there, as it should
    assert 'shift=-6' in searched.driver.get_log('browser')[0]['message']
    searched.press(Keys.ESCAPE)
    assert searched.all('dialog[open]') == []
    # the same hit opens again
    searched.wait(f'[data-act=open][data-id="{blue.id}"]').click()
    searched.wait('dialog[open] .ps-match').click()
    searched.wait('.ps-chips', 'door.mp4 0:00:01.0')
    assert searched.all('dialog[open]') == []


def test_average_mark_and_refine(searched):
    searched.labelled('adds to the search')
    searched.all('[data-person="1"]')[0].click()
    searched.wait('#exemplars h2', 'mean of 2')
    before = searched.ids()
    searched.all('.ps-hit')[0].find_element(By.CSS_SELECTOR, '[data-act=wrong]').click()
    searched.wait('.ps-hit[data-mark=wrong]')
    assert searched.ids() == before
    searched.wait('[data-act=refine]').click()
    WebDriverWait(searched.driver, 20).until(lambda _: before[0] not in searched.ids())
    searched.wait('[data-act=clear]').click()
    WebDriverWait(searched.driver, 20).until(lambda _: searched.ids() == before)


def test_a_picture_that_must_not_match(searched, tmp_path):
    before = searched.wait('#results').text
    searched.labelled('must not match')
    other = tmp_path / 'other.png'
    other.write_bytes(make_picture())
    searched.all('#picker input[type=file]')[0].send_keys(str(other))
    searched.wait('[data-opened="2"] [data-person="1"]').click()
    searched.wait('.ps-unlike li', 'other.png')
    WebDriverWait(searched.driver, 20).until(lambda _: searched.wait('#results').text != before)
    searched.wait('.ps-unlike button').click()
    WebDriverWait(searched.driver, 20).until(lambda _: searched.wait('#results').text == before)
    assert len(searched.all('.ps-chips li')) == 1


def test_filter_by_camera_and_time(searched):
    searched.labelled('Filter')
    field = searched.wait('input[aria-label="Cameras"], input[role=listbox]')
    field.click()
    searched.wait('[role=option]', '2').click()
    WebDriverWait(searched.driver, 20).until(lambda _: len(searched.ids()) == 3)
    assert {e.text for e in searched.all('.ps-fact')} == {'cam 2'}


def test_a_time_that_is_typed(searched):
    searched.labelled('Filter')
    everybody, field = searched.ids(), searched.wait('#since input, #since textarea')
    assert 'for example' in field.get_attribute('placeholder')
    field.send_keys('1970-01-01 12:00', Keys.TAB)  # after the video's, in any time zone
    searched.wait('#results', 'the time is not known')
    searched.wait('#period', 'Only from 1970-01-01 12:00:00')
    field.send_keys(*[Keys.BACKSPACE] * 16, 'tomorrow', Keys.ENTER)
    searched.wait('#period .ps-error', "From: 'tomorrow' is no time")
    searched.wait('#results .ps-error', 'cannot be read')
    assert searched.ids() == []
    field.send_keys(*[Keys.BACKSPACE] * 8, Keys.TAB)
    WebDriverWait(searched.driver, 20).until(lambda _: searched.ids() == everybody)
    assert searched.all('.ps-error') == [] and searched.all('#period p') == []


def test_save_what_was_found(searched):
    searched.labelled('Save what was found')
    searched.labelled('Make the files')
    link = searched.wait('.ps-file', 'hits.json').get_attribute('href')
    content = json.loads(base64.b64decode(link.partition(',')[2]))
    assert [hit['id'] for hit in content['hits']] == searched.ids()


def test_a_scene_of_the_gallery(browser):
    browser.open()
    browser.labelled('choose a scene')
    browser.wait('.ps-frames button', 'cam2_b').click()
    browser.wait('.ps-hit')  # its only person was chosen
    browser.wait('.ps-chips', 'cam2_b.png')


def test_what_cannot_be_used_takes_the_place_of_the_picture(searched, tmp_path, picture_file):
    (tmp_path / 'no.png').write_bytes(b'no picture')
    searched.all('#picker input[type=file]')[0].send_keys(str(tmp_path / 'no.png'))
    searched.wait('#picker .ps-error', 'no.png cannot be used: not an image of a known kind.')
    searched.wait('#results', 'Choose a person')
    assert searched.all('.ps-picture, .ps-hit, .ps-chips') == []
    (refused,) = [e for e in searched.driver.get_log('browser') if e['level'] == 'SEVERE']
    assert '400' in refused['message']
    searched.all('#picker input[type=file]')[0].send_keys(picture_file)
    searched.wait('#picker [role=status]', '2 people were found')
    assert searched.all('.ps-error') == []


def test_the_same_picture_twice(browser, picture_file):
    browser.open()
    for opened in ('1', '2'):
        browser.all('#picker input[type=file]')[0].send_keys(picture_file)
        browser.wait(f'[data-opened="{opened}"] [role=status]', '2 people were found')


@pytest.mark.parametrize('theme', ['light', 'dark'])
def test_no_text_is_pale(browser, picture_file, theme):
    """WCAG 2.2, 1.4.3: a contrast of 4.5."""
    pale = (Path(__file__).parent / 'pale.js').read_text()
    browser.open(path=f'?__theme={theme}')
    search(browser, picture_file)
    for part in ('Filter', 'Save what was found', 'choose a scene'):
        browser.labelled(part)
    browser.wait('.ps-frames')
    for mark, hit in zip(('right', 'wrong'), browser.all('.ps-hit'), strict=False):
        hit.find_element(By.CSS_SELECTOR, f'[data-act={mark}]').click()
        browser.wait(f'.ps-hit[data-mark={mark}]')
    found, letters = browser.run(pale)
    assert found == [] and letters > 500
    browser.wait('#since input, #since textarea').send_keys('tomorrow', Keys.TAB)
    browser.wait('#results .ps-error')
    assert browser.run(pale)[0] == []


@pytest.fixture
def calibrated(site):
    """The gallery says how similar strangers are: half of them reach 0.5, few 0.9."""
    numbers = [0.9, 0.5, 1e-3], [0.8, 0.4, 5e-4], [0.95, 0.6, 2e-3]
    known = Calibration([-0.5, 0.5, 0.9], *numbers, pairs=10**5, people=300, source='labelled')
    site.gallery.use_calibration(known, site.gallery.model)
    yield
    site.gallery._calibration = None


@pytest.mark.parametrize('theme', ['light', 'dark'])
def test_chances_and_the_line(browser, picture_file, calibrated, theme):
    browser.open(path=f'?__theme={theme}')
    search(browser, picture_file)
    assert 'people searched' in browser.wait('.ps-verdict').text
    line = browser.wait('.ps-line', 'Probably somebody else')
    above, below = browser.all('.ps-hit:not(.ps-below)'), browser.all('.ps-below')
    assert above and below and '1 in 1,000' in above[0].text
    assert above[-1].rect['y'] < line.rect['y'] < below[0].rect['y']
    pale = (Path(__file__).parent / 'pale.js').read_text()
    assert browser.run(pale)[0] == []


def test_a_box_drawn_by_mouse(browser, picture_file):
    browser.open()
    browser.all('#picker input[type=file]')[0].send_keys(picture_file)
    browser.wait('[data-draw]').click()
    stage = browser.wait('.ps-drawing').rect
    at = lambda x, y: (round(stage['width'] * (x - 0.5)), round(stage['height'] * (y - 0.5)))  # noqa: E731
    mouse = ActionChains(browser.driver)
    mouse.move_to_element_with_offset(browser.wait('.ps-drawing'), *at(0.06, 0.2)).click_and_hold()
    mouse.move_by_offset(20, 20).move_to_element_with_offset(
        browser.wait('.ps-drawing'), *at(0.21, 0.8)
    ).release().perform()
    browser.wait('#picker [role=status]', 'Whoever is in the box')
    drawn = json.loads(browser.wait('.ps-drawn').get_attribute('data-edges'))
    assert drawn == pytest.approx([0.06, 0.2, 0.21, 0.8], abs=0.01)
    assert 'cam1_a.png' in browser.wait('.ps-hit').text


def test_a_box_drawn_by_keyboard(browser, picture_file):
    browser.open()
    browser.all('#picker input[type=file]')[0].send_keys(picture_file)
    browser.wait('[data-person="0"]')
    browser.tab_to(lambda e: e.get_attribute('data-draw') is not None)
    browser.press(Keys.ENTER)
    before = json.loads(browser.wait('.ps-drawn').get_attribute('data-edges'))
    browser.press(*[Keys.ARROW_LEFT] * 5)
    ActionChains(browser.driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_DOWN).key_up(
        Keys.SHIFT
    ).perform()
    moved = json.loads(browser.wait('.ps-drawn').get_attribute('data-edges'))
    shift = [a - b for a, b in zip(moved, before, strict=True)]
    assert shift == pytest.approx([-0.05, 0, -0.05, 0.01])
    browser.press(Keys.ENTER)
    browser.wait('#picker [role=status]', 'Whoever is in the box')
    assert 'ps-drawn' in browser.focused().get_attribute('class')
    browser.wait('[data-draw]').click()
    browser.press(Keys.ESCAPE)
    assert browser.all('.ps-drawn') == []


def test_the_address_of_a_search(searched):
    searched.labelled('Whole scene')
    searched.wait('.ps-scenes')
    searched.all('.ps-hit')[1].find_element(By.CSS_SELECTOR, '[data-act=wrong]').click()
    searched.wait('.ps-hit[data-mark=wrong]')
    address, ids = searched.driver.current_url, searched.ids()
    searched.driver.switch_to.new_window('tab')
    try:
        searched.driver.get(address)
        searched.wait('.ps-scenes .ps-hit[data-mark=wrong]')
        assert searched.ids() == ids and searched.driver.current_url == address
        searched.wait('.ps-chips', 'me.png')
        searched.driver.get(f'{searched.address}/?search=gone')
        searched.wait('#picker .ps-error', 'not kept any more')
    finally:
        searched.driver.close()
        searched.driver.switch_to.window(searched.driver.window_handles[0])


def test_a_link_past_the_hits(searched):
    searched.all('[data-person="1"]')[0].send_keys('')
    searched.tab_to(lambda e: 'ps-skip' in (e.get_attribute('class') or ''))
    assert searched.focused().rect['x'] > 0
    searched.press(Keys.ENTER, Keys.TAB)
    assert 'Save what was found' in searched.focused().text


def test_no_time_is_cut_off(browser, picture_file):
    browser.open((1280, 900))
    search(browser, picture_file)
    cut = "return [...document.querySelectorAll('.ps-fact')].filter(e => {"
    cut += 'const r = document.createRange(); r.selectNodeContents(e);'
    cut += "return r.getBoundingClientRect().right > e.closest('.ps-hit').getBoundingClientRect()"
    cut += '.right}).map(e => e.textContent)'
    assert browser.run(cut) == [] and browser.all('.ps-fact')


def test_a_case_is_saved_opened_and_reported(searched, tmp_path):
    door = next(hit for hit in searched.all('.ps-hit') if 'door.mp4' in hit.text)
    for act, hit in (('right', door), ('wrong', searched.all('.ps-hit')[0])):
        hit.find_element(By.CSS_SELECTOR, f'[data-act={act}]').click()
        searched.wait(f'.ps-hit[data-mark={act}]')
    ids = searched.ids()
    searched.wait('.ps-marks [data-act=case]').click()
    searched.labelled('Case')
    searched.wait('#holding [role=status]', '1 picture of the person, 1 right and 1 wrong')
    searched.wait('#title input, #title textarea').send_keys('Red')
    searched.wait('#notes textarea').send_keys('At the <door>.')
    searched.labelled('Save the case')
    files = {}
    for name in ('case.json', 'report.html'):
        link = searched.wait('#report .ps-file', name).get_attribute('href')
        files[name] = tmp_path / name
        files[name].write_bytes(base64.b64decode(link.partition(',')[2]))
    searched.open()  # with nothing
    searched.labelled('Case')
    searched.wait('#holding input[type=file]').send_keys(str(files['case.json']))
    searched.wait('.ps-hit[data-mark=right]')
    assert searched.ids() == ids and searched.all('.ps-hit[data-mark=wrong]')
    assert searched.wait('#notes textarea').get_attribute('value') == 'At the <door>.'
    searched.wait('#holding input[type=file]').send_keys(str(files['report.html']))
    searched.wait('.toast-body, .toast-wrap', 'no case')
    searched.driver.get(files['report.html'].as_uri())
    assert searched.wait('h1').text == 'Red' and 'At the <door>.' in searched.wait('.notes').text
    drawn = 'return [...document.images].map(i => i.complete && i.naturalWidth > 0)'
    assert searched.run(drawn) == [True] * 3 and len(searched.all('.ps-plot [data-id]')) == 1


def test_on_paper_there_are_only_the_people_found(searched):
    searched.labelled('Timeline')
    searched.wait('.ps-plot [data-id]')
    searched.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(media='print'))
    try:
        seen = [e for e in searched.all('button, input, label, summary') if e.is_displayed()]
        assert {e.get_attribute('class') for e in seen} == {'ps-shot'}
        shown = [e for e in searched.all('img') if e.is_displayed()]
        cut = {e.value_of_css_property('clip-path') for e in shown}
        assert cut and all(one.startswith('inset(') and '50%' not in one for one in cut)
        # the picture that was given, whose person is 24 x 60 pixels
        image = searched.wait('.ps-chips img')
        top, right, bottom, left = (
            float(edge) for edge in re.findall(r'[\d.]+', image.value_of_css_property('clip-path'))
        )
        wide = image.rect['width'] * (100 - left - right)
        high = image.rect['height'] * (100 - top - bottom)
        assert wide / high == pytest.approx(24 / 60, rel=0.05)
    finally:
        searched.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(media=''))


@pytest.fixture
def timed(searched, site):
    """The timeline, with somebody in the video and two images that have been given a time."""
    early = Where(sources=[str(site.folder / 'scenes/cam1_a.png')])
    site.gallery.update(early, time=4999.0)
    searched.labelled('Timeline')
    searched.wait('.ps-plot [data-id]')
    assert len(searched.all('.ps-plot [data-id]')) == 3
    yield searched
    site.gallery.update(early, time=None)


def test_the_timeline_by_keyboard(timed):
    timed.run("document.querySelector('.ps-plot').focus()")
    timed.press(Keys.ARROW_RIGHT)
    timed.wait('#timeline [role=status]', 'cam 1, ')
    timed.press(Keys.ARROW_DOWN)
    timed.wait('#timeline [role=status]', 'cam door, ')
    timed.press(Keys.ENTER)
    timed.wait('dialog[open] .ps-steps', '0:00:01')
    timed.press(Keys.ESCAPE)
    everybody = timed.ids()
    timed.labelled('From here on')
    WebDriverWait(timed.driver, 20).until(lambda _: len(timed.ids()) == 1)
    timed.labelled('All times')
    WebDriverWait(timed.driver, 20).until(lambda _: timed.ids() == everybody)


def test_the_timeline_by_mouse(timed):
    bar = timed.wait('.ps-plot g:last-of-type [data-id]')
    ActionChains(timed.driver).move_to_element(bar).click().perform()
    timed.wait('dialog[open] .ps-match')
    timed.press(Keys.ESCAPE)
    plot = timed.wait('.ps-plot')
    half = plot.rect['width'] // 2
    drag = ActionChains(timed.driver).move_to_element(plot).click_and_hold()
    drag.move_by_offset(half - 5, 0).release().perform()
    WebDriverWait(timed.driver, 20).until(lambda _: len(timed.ids()) == 1)
    assert timed.run('return document.querySelector(".ps-range").hidden') is False
    timed.all('.ps-hit [data-act=right]')[0].click()
    timed.wait('.ps-plot .ps-sure')
    assert len(timed.all('.ps-plot [data-id]')) == 3  # the whole stays in sight


def test_bars_that_overlap_can_each_be_clicked(timed):
    bars = timed.all('.ps-plot g:first-of-type [data-id]')
    above, below = sorted(bars, key=lambda bar: bar.rect['y'])
    assert above.rect['x'] == below.rect['x']
    assert above.rect['y'] + above.rect['height'] < below.rect['y']
    for bar in (above, below):
        ActionChains(timed.driver).move_to_element(bar).click().perform()
        timed.wait(f'dialog[open] .ps-match[data-id="{bar.get_attribute("data-id")}"]')
        timed.press(Keys.ESCAPE)
    timed.run("document.querySelector('.ps-plot').focus()")
    timed.press(Keys.HOME, Keys.ARROW_DOWN)  # to the next camera, not the next lane
    timed.wait('#timeline [role=status]', 'cam door, ')


def test_a_bar_and_its_hit_are_chosen_together(timed):
    chosen = lambda: timed.wait('.ps-hit[aria-current]')  # noqa: E731
    timed.run("document.querySelector('.ps-plot').focus()")
    timed.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert 'door.mp4' in chosen().text
    beside = timed.wait('#timeline').rect
    assert chosen().rect['x'] > beside['x'] + beside['width']
    shown = 'const {top} = arguments[0].getBoundingClientRect();'
    shown += 'return top >= 0 && top < innerHeight'
    assert timed.run(shown, chosen())
    timed.resize((1400, 500))
    timed.run('scrollTo(0, document.body.scrollHeight)')
    assert timed.run('return scrollY') > 100 and timed.run(shown, timed.wait('.ps-plot'))
    first = timed.wait('.ps-hit[data-rank="1"]')
    first.find_element(By.CSS_SELECTOR, '.ps-name').click()
    timed.wait('#timeline [role=status]', 'cam 1, ')
    assert timed.wait('.ps-hit[aria-current]').get_attribute('data-rank') == '1'
    assert timed.wait('.ps-cursor').rect['y'] == timed.wait('.ps-plot [data-rank="1"]').rect['y']
    first.find_element(By.CSS_SELECTOR, '[data-act=right]').click()
    timed.wait('.ps-plot .ps-sure')
    timed.wait('.ps-hit[aria-current][data-mark=right]')  # what is chosen stays
    timed.resize(NARROW)  # the list is below, and the timeline stays in sight until asked
    timed.run("document.querySelector('#timeline').scrollIntoView({block: 'end'})")
    timed.run("document.querySelector('.ps-plot').focus({preventScroll: true})")
    timed.press(Keys.END)
    assert not timed.run(shown, chosen()) and timed.run(shown, timed.wait('.ps-plot'))
    timed.wait('[data-card]').click()
    assert timed.run(shown, chosen())
    assert timed.run('return arguments[0].contains(document.activeElement)', chosen())


def test_by_keyboard_alone(browser, picture_file):
    browser.open()
    upload = browser.tab_to(lambda e: e.get_attribute('type') == 'file')
    upload.send_keys(picture_file)  # what the system's dialog would do
    browser.wait('[data-person="0"]')
    browser.tab_to(lambda e: e.get_attribute('data-person') == '0')
    browser.press(Keys.ENTER)
    browser.wait('.ps-hit')
    assert browser.focused().get_attribute('data-person') == '0'  # the focus is not lost
    browser.tab_to(lambda e: e.get_attribute('data-act') == 'open')
    browser.press(Keys.ENTER)
    browser.wait('dialog[open]')
    browser.tab_to(lambda e: e.get_attribute('data-act') == 'search', limit=8)
    browser.press(Keys.ESCAPE)
    browser.tab_to(lambda e: e.get_attribute('data-act') == 'right', limit=8)
    browser.press(Keys.SPACE)
    browser.wait('.ps-hit[data-mark=right]')
    assert browser.focused().get_attribute('data-act') == 'right'


def test_in_a_narrow_window(browser, picture_file):
    browser.open(NARROW)
    search(browser, picture_file)
    fits = 'return document.documentElement.scrollWidth <= window.innerWidth'
    assert browser.run(fits)
    seen = 'return document.querySelector(".ps-hit").getBoundingClientRect().top < innerHeight'
    WebDriverWait(browser.driver, 10).until(lambda _: browser.run(seen))
    browser.run('scrollTo(0, 0)')
    browser.wait('[data-person="0"]').click()  # the same hits again
    WebDriverWait(browser.driver, 10).until(lambda _: browser.run(seen))
    browser.run('scrollTo(0, 0)')
    browser.wait('#jump a', 'hits').click()
    WebDriverWait(browser.driver, 10).until(lambda _: browser.run(seen))
    assert browser.all('.ps-hit')[-1].rect['y'] < browser.wait('#view').rect['y']
    lefts = {hit.rect['x'] for hit in browser.all('.ps-hit')}
    assert len(lefts) >= 2  # still beside each other
