/** The style sheet of report and site: system fonts, light and dark, and what of it is printed. */
const lightColors =
  '--ink:#1f2328;--quiet:#59636e;--line:#d1d9e0;--page:#f6f8fa;--paper:#fff;--accent:#00649c;--good:#116329;--bad:#b3261e;--hover:#eaeef2;';
const darkColors =
  '--ink:#f0f6fc;--quiet:#9aa4af;--line:#3d444d;--page:#010409;--paper:#0d1117;--accent:#58b4f0;--good:#4ac26b;--bad:#ff8a80;--hover:#1c2128;';

export const pageStyle = `
:root{color-scheme:light;${lightColors}}
:root[data-theme=dark]{color-scheme:dark;${darkColors}}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;${darkColors}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 Inter,system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
.wide{max-width:1320px;margin:0 auto;padding:0 24px}
header.wide{padding-top:36px}
main.wide{padding-bottom:64px}
.kicker{display:flex;gap:16px;justify-content:space-between;align-items:baseline;margin:0;color:var(--quiet);font-size:14px}
h1{margin:10px 0 8px;font-size:32px;line-height:1.2;font-weight:700;letter-spacing:-.01em;text-wrap:balance}
h2{margin:44px 0 12px;font-size:21px}
h3{margin:0;font-size:16px}
.lede{max-width:74ch;margin:0 0 20px;color:var(--quiet);font-size:16px}
.answer p{max-width:74ch;margin:0 0 12px;font-size:16px}
.answer h2{margin:32px 0 12px}
.answer table{width:auto;margin:0 0 12px;font-size:15px}
.answer th{color:var(--quiet)}
.answer pre{max-width:100ch;white-space:pre-wrap}
a{color:var(--accent)}
button,input,select{font:inherit;color:inherit}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.plain{border:1px solid var(--line);border-radius:6px;background:var(--paper);padding:3px 10px;cursor:pointer}
.plain:hover{background:var(--hover)}
.scroll{overflow:auto;border:1px solid var(--line);border-radius:8px;background:var(--paper)}
#cells{max-height:min(72vh,900px)}
table{width:100%;border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:left;white-space:nowrap;font-weight:400}
td.number,th.number{text-align:right}
tbody tr+tr>*{border-top:1px solid var(--line)}
tbody tr:hover{background:var(--hover)}
thead th{position:sticky;top:0;background:var(--paper);color:var(--quiet);box-shadow:inset 0 -1px var(--line)}
thead button,tbody th button{border:0;background:none;padding:0;cursor:pointer}
thead button:hover,tbody th button:hover{text-decoration:underline}
tbody th button{color:var(--accent);font-weight:600}
th[aria-sort]{color:var(--ink);font-weight:600}
th[aria-sort=ascending] button::after{content:" ↑"}
th[aria-sort=descending] button::after{content:" ↓"}
.verdict.faster{color:var(--good)}
.verdict.slower,.failed{color:var(--bad)}
.verdict.no,.verdict.too{color:var(--quiet)}
form{display:flex;flex-wrap:wrap;gap:12px 24px;align-items:end;margin:0 0 10px}
form label.field{display:grid;gap:2px;color:var(--quiet);font-size:13px}
form input[type=search],form select{min-width:190px;border:1px solid var(--line);border-radius:6px;background:var(--paper);color:var(--ink);padding:5px 8px;font-size:14px}
fieldset{display:flex;flex-wrap:wrap;gap:4px 6px;margin:0;border:0;padding:0;min-width:0}
legend{padding:0;margin-bottom:2px;color:var(--quiet);font-size:13px}
.pill{position:relative;font-size:14px}
.pill input{position:absolute;opacity:0;inset:0;margin:0;cursor:pointer}
.pill span{display:block;border:1px solid var(--line);border-radius:999px;background:var(--paper);padding:3px 11px}
.pill input:checked+span{border-color:var(--accent);color:var(--accent);box-shadow:inset 0 0 0 1px var(--accent)}
.pill input:focus-visible+span{outline:2px solid var(--accent);outline-offset:2px}
#count{margin:0 0 8px;color:var(--quiet);font-size:14px}
figure{margin:0 0 20px;border:1px solid var(--line);border-radius:8px;background:var(--paper);padding:18px 22px 14px;min-height:160px;break-inside:avoid}
figcaption p{margin:2px 0 12px;color:var(--quiet);font-size:14px}
.picture{overflow-x:auto}
.picture svg{display:block;max-width:100%;height:auto;margin:0 auto}
.note{max-width:80ch;color:var(--quiet);font-size:13.5px}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.command{display:flex;gap:10px;align-items:start;margin:8px 0 16px;border:1px solid var(--line);border-radius:6px;background:var(--page);padding:8px 10px}
.command code{flex:1}
dl{display:grid;grid-template-columns:minmax(90px,max-content) minmax(0,1fr);gap:3px 16px;margin:0;font-size:14px}
dt{color:var(--quiet)}
dd{margin:0;overflow-wrap:anywhere}
dd dl{margin-bottom:6px}
summary{cursor:pointer}
dialog{width:min(920px,100vw);max-width:none;height:100dvh;max-height:none;margin:0 0 0 auto;border:0;border-left:1px solid var(--line);padding:22px 26px 48px;background:var(--paper);color:var(--ink);overflow:auto}
dialog::backdrop{background:rgb(0 0 0/.45)}
dialog h2{margin:0 0 4px}
dialog h3{margin:22px 0 8px}
.top{display:flex;justify-content:space-between;gap:16px;align-items:start}
nav{display:flex;gap:20px;font-weight:600}
nav a{text-decoration:none}
picture img{display:block;max-width:100%;height:auto;margin:0 auto}
.method{max-width:78ch}
.method h1{margin-top:28px}
.method li{margin:8px 0}
@media (max-width:640px){h1{font-size:25px}.wide{padding-inline:14px}figure{padding-inline:12px}}
@media print{:root,:root[data-theme=dark],:root:not([data-theme=light]){color-scheme:light;${lightColors}}body{background:#fff;font-size:11pt}form,.plain,dialog{display:none}#cells{max-height:none;overflow:visible;border:0}thead th{position:static}table{font-size:7.5pt}th,td{padding:2px 4px}figure{border:0;padding:0}figure[data-theme=dark] .picture{filter:invert(1) hue-rotate(180deg)}}
`;
