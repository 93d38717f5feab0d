// Pages that change by themselves: opens them, then the gate at which the jobs wait, and waits until each has changed.
//
// given: gate (a file to make), pages (by name: path, before, after: texts that are there and come), followed (the address of
// a log that is followed, with the text that comes)

import { writeFileSync } from 'node:fs';
import { at, given, run } from './browser.mjs';

await run(async open => {
    const opened = [];
    for (const { path, before, after } of given.pages) {
        const page = await open();
        await page.goto(at(path));
        await page.locator('#live', { hasText: before }).waitFor();
        // It goes if the page is loaded anew.
        await page.evaluate(() => {
            globalThis.isTheSame = true;
            globalThis.focused = document.querySelector('#live a, #live button');
            globalThis.focused.focus();
        });
        opened.push({ page, path, after });
    }
    const log = await open();
    await log.goto(at(given.followed.path), { waitUntil: 'commit' });
    const says = text => log.waitForFunction(text => document.body?.innerText.includes(text), text);
    await says(given.followed.before);
    writeFileSync(given.gate, '');
    const changed = {};
    for (const { page, path, after } of opened) {
        await page.locator('#live', { hasText: after }).waitFor();
        changed[path] = await page.evaluate(() => ({
            isTheSame: globalThis.isTheSame === true,
            // It stays where it was, if what had it is still there.
            keepsFocus: !globalThis.focused.isConnected || document.activeElement === globalThis.focused,
            hasTarget: globalThis.focused.isConnected,
        }));
    }
    await says(given.followed.after);
    return { changed, log: await log.innerText('body') };
});
