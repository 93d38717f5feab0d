// Presses the buttons of a sweep's page, and one of the agents' page.
//
// given: path (a sweep that waits), agents (true: there is one agent)

import { at, follow, given, run } from './browser.mjs';

await run(async open => {
    const page = await open();
    await page.goto(at(given.path));
    const sentences = {};
    for (const button of ['pause', 'resume', 'cancel', 'retry', 'cancel']) {
        await follow(page, page.getByRole('button', { name: button, exact: true }));
        sentences[button] = await page.locator('.sentence').innerText();
    }
    const buttons = await page.getByRole('button').allInnerTexts();
    if (given.agents) {
        await follow(page, page.getByRole('link', { name: 'Agents' }));
        await follow(page, page.getByRole('button', { name: 'drain', exact: true }));
        await page.getByRole('button', { name: 'undrain' }).waitFor();
    }
    return { sentences, buttons, at: page.url() };
});
