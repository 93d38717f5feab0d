// All of the page and the API behind a proxy that serves them below a path.
//
// given: done (a sweep that has finished), waits (one that waits for ever)

import { at, follow, given, run } from './browser.mjs';

await run(async open => {
    const page = await open();
    const visited = [];
    const click = async link => {
        await follow(page, link);
        visited.push(page.url());
    };
    await page.goto(at('/?all=true'));
    await click(page.getByRole('link', { name: 'done' }));
    await page.goto(at(`/sweeps/${given.done}/jobs/0`));
    await page.goto(at(`/sweeps/${given.done}/jobs/1`));
    visited.push(page.url());
    await click(page.locator('h1 a'));
    for (const name of ['Queue', 'Agents', 'API', 'Sweeps']) {
        await click(page.locator('header').getByRole('link', { name, exact: true }));
    }

    const live = await open();
    await live.goto(at(`/sweeps/${given.waits}`));
    await live.evaluate(() => { globalThis.isTheSame = true; });
    await page.goto(at(`/sweeps/${given.waits}`));
    await follow(page, page.getByRole('button', { name: 'pause', exact: true }));
    await page.getByRole('button', { name: 'resume', exact: true }).waitFor();
    const paused = await page.locator('.sentence').innerText();
    await follow(page, page.getByRole('button', { name: 'resume', exact: true }));
    await page.getByRole('button', { name: 'pause', exact: true }).waitFor();

    // What programs of the page's site would do.
    const asked = await page.evaluate(async ({ waits }) => {
        const json = async (path, options) => (await fetch(`../${path}`, options)).json();
        const events = new EventSource('../api/events?kinds=sweep');
        await new Promise((resolve, reject) => { events.onopen = resolve; events.onerror = reject; });
        const event = new Promise(resolve => events.addEventListener('sweep', event => resolve(JSON.parse(event.data))));
        const sweeps = (await json('api/sweeps?all=true')).sweeps.length;
        const { cancelled } = await json(`api/sweeps/${waits}/cancel`, {
            method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}',
        });
        const seen = { sweeps, cancelled, event: await event };
        events.close();
        return seen;
    }, given);
    await live.locator('#live', { hasText: 'before it was cancelled' }).waitFor();
    const isTheSame = await live.evaluate(() => globalThis.isTheSame === true);
    const shown = isTheSame ? await live.locator('.sentence').innerText() : 'it was loaded again';

    await page.goto(at('/agents'));
    await follow(page, page.getByRole('button', { name: 'drain', exact: true }));
    await page.getByRole('button', { name: 'undrain' }).waitFor();
    const drained = (await page.getByRole('button').allInnerTexts()).join();

    const bare = await open();
    await bare.goto(given.address.replace(/\/$/, ''));
    return { first: bare.url(), visited, paused, ...asked, live: shown, drained };
});
