// Signing in with the issuer by the button of the page, in a browser that keeps to its cookies' rules.
//
// given: issuer (its address), next (the page that is wanted)

import { at, barriers, follow, given, run } from './browser.mjs';

await run(async open => {
    const page = await open({ refused: true });
    // The issuer's own forms ask for fonts from elsewhere.
    await page.route(/googleapis/, route => route.abort());
    await page.goto(at(given.next));
    const wrong = await barriers(page);
    await follow(page, page.getByRole('link', { name: /Sign in with/ }));
    await page.locator('input[name=login]').fill('ann');
    await page.locator('input[name=password]').fill('x');
    await follow(page, page.getByRole('button', { name: /sign-in/i }));
    await page.getByRole('button', { name: /continue/i }).click();
    await page.getByRole('button', { name: 'Log out' }).waitFor();
    const came = page.url(), who = await page.locator('form.who').innerText();
    const cookies = (await page.context().cookies()).filter(({ name }) => name.startsWith('btctl')).map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite }));
    await page.goto(at('/agents'));
    const stays = await page.getByRole('button', { name: 'Log out' }).count();
    await follow(page, page.getByRole('button', { name: 'Log out' }));
    await page.goto(at('/agents'));
    const out = await page.getByRole('heading', { name: 'Log in' }).count();
    return { wrong, came, who, cookies, stays, out };
});
