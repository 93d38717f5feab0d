// Pictures of pages, wide and as on a phone, light and dark.
//
// given: pages (paths by name), shots (a directory)

import { at, DESKTOP, given, PHONE, run } from './browser.mjs';

// A longer page is cut.
const MOST = { desktop: 980, phone: 1250 };

await run(async open => {
    for (const colorScheme of ['light', 'dark']) {
        for (const [form, viewport] of [['desktop', { ...DESKTOP, width: 1100, height: 500 }], ['phone', PHONE]]) {
            const page = await open({ colorScheme, viewport });
            for (const [name, path] of Object.entries(given.pages)) {
                await page.goto(at(path));
                const { height } = await page.locator('main').boundingBox();
                const whole = Math.ceil(height) + 48;
                await page.screenshot({
                    path: `${given.shots}/${name}-${form}-${colorScheme}.png`,
                    fullPage: true,
                    clip: { x: 0, y: 0, width: viewport.width, height: Math.min(whole, MOST[form]) },
                });
            }
            await page.context().close();
        }
    }
    return 'done';
});
