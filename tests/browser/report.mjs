// A report, opened from a file with no network.
//
// given: address (the file's), pictures of it

import { barriers, DESKTOP, excess, given, PHONE, run } from './browser.mjs';

await run(async open => {
    const wrong = [];
    let read;
    for (const [colorScheme, viewport] of [['light', DESKTOP], ['dark', PHONE]]) {
        const page = await open({ colorScheme, viewport, offline: true });
        await page.goto(given.address);
        const wide = await excess(page);
        if (wide) wrong.push(`it is too wide: ${wide}`);
        wrong.push(...await barriers(page));
        read = await page.evaluate(() => ({
            text: document.body.innerText,
            heat: document.querySelectorAll('table.heat td').length,
            doing: document.querySelectorAll('script, a, form, button, input, select, link, img').length,
        }));
        await page.emulateMedia({ media: 'print' });
        read.printed = (await page.pdf()).length;
    }
    return { wrong, ...read };
});
