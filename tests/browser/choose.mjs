// A sweep's page: reads the map, ranks by the form, and chooses jobs by a parameter's range.
//
// given: path; by, where; axis, from, to; across, down, cell

import { at, follow, given, rows, run } from './browser.mjs';

await run(async open => {
    const page = await open();
    await page.goto(at(given.path));
    const heat = () => page.locator('table.heat').evaluate(table => ({
        caption: table.caption.textContent,
        columns: [...table.tHead.rows[0].cells].slice(1).map(cell => cell.textContent),
        rows: [...table.tBodies[0].rows].map(row => row.cells[0].textContent),
        cells: [...table.tBodies[0].rows].map(row => [...row.cells].slice(1).map(cell =>
            ({ text: cell.textContent, colour: getComputedStyle(cell).backgroundColor }))),
    }));
    const best = () => rows(page.locator('form:has(select[name=by]) ~ .scroll table:not(.heat)').first());
    const first = { heat: await heat(), best: await best(), lines: await page.locator('svg.lines .front').count() };

    await page.locator('select[name=by]').selectOption(given.by);
    await page.getByLabel('Where').fill(given.where);
    await follow(page, page.getByRole('button', { name: 'Rank' }));
    const ranked = { best: await best(), where: await page.getByLabel('Where').inputValue() };

    await page.locator('select[name=axis]').selectOption(given.axis);
    await page.getByLabel('is at least').fill(given.from);
    await page.getByLabel('and at most').fill(given.to);
    await follow(page, page.getByRole('button', { name: 'Choose' }));
    const chosen = { best: await best(), where: await page.getByLabel('Where').inputValue() };

    await page.locator('select[name=across]').selectOption(given.across);
    await page.locator('select[name=down]').selectOption(given.down);
    await page.locator('select[name=cell]').selectOption(given.cell);
    await follow(page, page.getByRole('button', { name: 'Draw' }));
    const drawn = await heat();

    await page.getByLabel('Where').fill('shrpe > 1');
    await follow(page, page.getByRole('button', { name: 'Rank' }));
    return { first, ranked, chosen, drawn, mistake: await page.getByRole('alert').innerText() };
});
