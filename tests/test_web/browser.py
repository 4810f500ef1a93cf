"""Chromium, as a user of the page handles it."""

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

WIDE, NARROW = (1400, 1000), (400, 900)


class Browser:
    """Chromium with the page open."""

    def __init__(self, driver, address):
        self.driver = driver
        self.address = address

    def open(self, size=WIDE, path=''):
        self.driver.set_window_size(*WIDE)
        shown = dict(width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', shown)
        self.driver.get(f'{self.address}/{path}')
        self.wait('.ps-drop')

    def wait(self, css, text=None):
        def there(driver):
            found = driver.find_elements(By.CSS_SELECTOR, css)
            return next((e for e in found if text is None or text in e.text), None)

        return WebDriverWait(self.driver, 30, 0.1).until(there, f'{css}: {text}')

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def labelled(self, text):
        """Press what a label or button of the form says."""

        def there(_):
            found = self.all('label, button')
            return next((e for e in found if e.is_displayed() and text in e.text), None)

        found = WebDriverWait(self.driver, 10, 0.1).until(there, text)
        self.run('arguments[0].scrollIntoView({block: "center"})', found)
        found.click()

    def press(self, *keys):
        for key in keys:
            webdriver.ActionChains(self.driver).send_keys(key).perform()

    def focused(self):
        return self.driver.switch_to.active_element

    def tab_to(self, test, limit=60):
        """Press Tab until the focused element passes a test."""
        for _ in range(limit):
            self.press(Keys.TAB)
            if test(self.focused()):
                return self.focused()
        raise AssertionError('Tab does not lead there')

    def ids(self):
        return self.run(
            "return [...document.querySelectorAll('[data-act=open]')].map(b => b.dataset.id)"
        )
