"use strict";

// Tables that sort: a click on a header, then another, then the study's own order again.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const numbers = header.classList.contains("number");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.title = "Sort by this column";
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const orders = numbers ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
      const order = orders[(orders.indexOf(header.getAttribute("aria-sort")) + 1) % 3];
      for (const other of headers) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", order);
      body.append(...(order === "none" ? original : sorted(original, column, numbers, order)));
    });
  });
}

function sorted(rows, column, numbers, order) {
  const sign = order === "ascending" ? 1 : -1;
  const known = rows.filter((row) => value(row, column, numbers) !== null);
  known.sort((one, two) => sign * compare(value(one, column, numbers), value(two, column, numbers)));
  return [...known, ...rows.filter((row) => !known.includes(row))]; // what failed stays below, whichever the order
}

function value(row, column, numbers) {
  const cell = row.cells[column];
  if (!cell || cell.classList.contains("failed")) return null;
  if (!numbers) return cell.textContent;
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value); // the mean alone, not its spread
}

function compare(one, two) {
  return typeof one === "number" ? one - two : one.localeCompare(two, "en", { numeric: true });
}

// Buttons that copy what stands in a block.
for (const block of document.querySelectorAll("pre.code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${block.dataset.what}`);
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    const done = await copy(block.querySelector("code"));
    button.textContent = done ? "Copied" : "Selected"; // without a clipboard: one key is left to press
    button.removeAttribute("aria-label");
    setTimeout(() => {
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy ${block.dataset.what}`);
    }, 2000);
  });
  block.classList.add("copied");
  block.append(button);
}

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

// On paper nothing can be unfolded.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")];
  for (const each of unfolded) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of unfolded) each.open = false;
});
