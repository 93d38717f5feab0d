// Reads pages as they come, with scripts or without.
//
// given: paths; scripts (false: a browser that runs none); phone (true: on a phone); barriers (true: look for them)

import { at, barriers, DESKTOP, excess, given, PHONE, rows, run } from './browser.mjs';

await run(async open => {
    const page = await open({
        javaScriptEnabled: given.scripts !== false,
        viewport: given.phone ? PHONE : DESKTOP,
    });
    const read = [];
    for (const path of given.paths) {
        const answer = await page.goto(at(path));
        const tables = await page.locator('main table').all();
        read.push({
            title: await page.title(),
            heading: await page.locator('h1').innerText(),
            text: await page.locator('main').innerText(),
            tables: await Promise.all(tables.map(rows)),
            links: await page.locator('a').evaluateAll(links => links.map(link => link.getAttribute('href'))),
            // What others wrote may be none of these.
            foreign: await page.locator('img[src="x"], [onerror], script:not([src])').count(),
            bytes: (await answer.body()).length,
            excess: await excess(page),
            barriers: given.barriers ? await barriers(page) : [],
        });
    }
    return read;
});
