/** The report's style sheet: system fonts, one column as wide as the charts, light and dark. */
export const reportStyle = `
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #59636e; --line: #d1d9e0; --page: #f6f8fa; --accent: #00649c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f6fc; --quiet: #9198a1; --line: #3d444d; --page: #0d1117; --accent: #4cb2f0; --bad: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 Inter, system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 968px; margin: 0 auto; padding: 40px 24px 64px; }
.kicker { margin: 0; color: var(--quiet); font-size: 14px; }
h1 { margin: 6px 0 8px; font-size: 30px; line-height: 1.2; font-weight: 700; text-wrap: balance; }
h1 em { font-style: normal; color: var(--accent); }
h2 { margin: 44px 0 12px; font-size: 20px; }
.conditions { margin: 0 0 24px; color: var(--quiet); }
figure { margin: 24px 0; border: 1px solid var(--line); border-radius: 8px; background: #fff; overflow: hidden; }
figure svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; text-align: right; white-space: nowrap; }
thead th { color: var(--quiet); font-weight: 400; border-bottom: 1px solid var(--line); }
th:first-child, td:nth-child(2), thead th:nth-child(2) { text-align: left; }
tr.first th, tr.first td { border-top: 1px solid var(--line); }
tr.overall:not(.overall + .overall) th, tr.overall:not(.overall + .overall) td { border-top: 2px solid var(--line); }
tr.overall + tr.overall th { visibility: hidden; }
tr.overall td[colspan] { text-align: left; color: var(--quiet); }
td:last-child { color: var(--accent); font-weight: 600; }
.failed, .failures { color: var(--bad); }
.note { color: var(--quiet); font-size: 13px; }
code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(90px, max-content) minmax(0, 1fr); gap: 3px 16px; margin: 0; font-size: 14px; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
dd dl { margin-bottom: 6px; }
`;
