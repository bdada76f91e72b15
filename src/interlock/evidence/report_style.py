"""The report's style sheet: system fonts, light and dark by the reader's setting, and paper. Holds neither `<` nor `&`, so XML takes it."""

from __future__ import annotations

_LIGHT = """
--page:#f4f5f7;--card:#ffffff;--ink:#191c20;--soft:#565e69;--rule:#dcdfe4;--grid:#e9ebee;--axis:#9aa1ab;
--c1:#1557b0;--c2:#b04a00;--c3:#0b7261;--c4:#7a3aa8;--midline:#8a919b;--gain:#1b7a5a;--loss:#b5402f;--netbar:#3a4250;--band:#e3e9f4;
--fall:#f7e4df;--shadow:0 1px 2px rgb(20 25 35 / .06),0 2px 10px rgb(20 25 35 / .05);
--pass:#0d6b4b;--pass-bg:#e3f4ec;--fail:#a32116;--fail-bg:#fbe7e4;--suspect:#855300;--suspect-bg:#fdf0d5;
--indicative:#174ea6;--indicative-bg:#e6eefb;--insufficient:#4a5260;--insufficient-bg:#e9ebef
"""

_DARK = """
--page:#101317;--card:#191d23;--ink:#e9ebee;--soft:#a4adb8;--rule:#303741;--grid:#272d35;--axis:#67707c;
--c1:#7fb2ff;--c2:#ffa35c;--c3:#4fd0b5;--c4:#cf9bf5;--midline:#8d96a3;--gain:#4cc596;--loss:#f0806d;--netbar:#b9c2ce;--band:#22304a;
--fall:#40241f;--shadow:none;
--pass:#6fdcae;--pass-bg:#12332a;--fail:#ff9d8f;--fail-bg:#41201c;--suspect:#f7c566;--suspect-bg:#3a2c10;
--indicative:#9cc3ff;--indicative-bg:#1a2c4a;--insufficient:#c3cad4;--insufficient-bg:#2b313a
"""

_RULES = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",
"Liberation Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1120px;margin:0 auto;padding:18px 20px 48px}
.origin{display:flex;flex-wrap:wrap;gap:6px 22px;margin:0 0 18px;padding:0 0 10px;border-bottom:1px solid var(--rule);font-size:13px}
.origin span{white-space:nowrap}
.origin i,.unit,.soft,.none,figcaption,.note{color:var(--soft);font-style:normal}
.origin b{font-weight:600}
.origin .odd{color:var(--suspect);font-weight:600;white-space:normal}
h1{font-size:26px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:17px;line-height:1.3;margin:0 0 4px}
h2 .unit,.head .unit{font-weight:400;font-size:.87em}
.sub{margin:0 0 20px;color:var(--soft);overflow-wrap:anywhere}
.card{background:var(--card);border-radius:10px;box-shadow:var(--shadow);padding:18px 20px;margin:0 0 18px;min-width:0}
.top{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,7fr);gap:18px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:18px;align-items:start}
.verdict{border-top:6px solid currentColor}
.verdict .ink{color:var(--ink)}
.verdict .word{display:flex;align-items:center;gap:12px;font-size:38px;line-height:1.1;font-weight:750;letter-spacing:.01em}
.verdict .word svg{width:40px;height:40px;flex:none}
.verdict .net{font-size:24px;font-weight:650;font-variant-numeric:tabular-nums;margin:14px 0 6px}
.verdict .net .unit{font-size:15px;font-weight:400}
.verdict p{margin:4px 0 10px}
.verdict ul{margin:6px 0 0;padding-left:20px}
.verdict li{margin:4px 0}
.pass{color:var(--pass);background:var(--pass-bg)}.fail{color:var(--fail);background:var(--fail-bg)}
.suspect{color:var(--suspect);background:var(--suspect-bg)}.indicative{color:var(--indicative);background:var(--indicative-bg)}
.insufficient{color:var(--insufficient);background:var(--insufficient-bg)}
.count{font-size:21px;font-weight:650;margin:2px 0 10px}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:1px;background:var(--rule);padding:0;overflow:hidden}
.figure{background:var(--card);padding:14px 18px}
.figure .label{font-size:13px;color:var(--soft)}
.figure .value{font-size:21px;font-weight:650;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.figure .unit{font-size:13px;font-weight:400}
.figure .note{font-size:12.5px;line-height:1.35;margin-top:2px}
.fill{background:var(--card)}
figure{margin:6px 0 0}
figcaption{font-size:13px;margin-top:4px}
.head{font-weight:600;font-size:14px;margin:14px 0 2px}
.scroll{overflow-x:auto}
.scroll>svg{display:block;width:100%;min-width:640px;height:auto}
.scroll>svg.narrow{min-width:0}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);margin:2px 0 4px}
.legend span{display:inline-flex;align-items:center;gap:7px}
.sign{width:24px;height:12px;overflow:visible}
.note{font-size:13px;margin:4px 0 8px;max-width:80ch}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{font-weight:600;font-size:12.5px;color:var(--soft);text-align:left;vertical-align:bottom;
padding:6px 10px 6px 0;border-bottom:1px solid var(--rule)}
td{padding:5px 10px 5px 0;border-bottom:1px solid var(--grid);vertical-align:top}
tr:last-child td{border-bottom:0}
th:last-child,td:last-child{padding-right:0}
.num{text-align:right;white-space:nowrap}
table+table,.scroll+table,.sum+.scroll{margin-top:16px}
td.soft,th.says{padding-left:14px}
td .note{margin:0;font-size:12.5px}
.bar{width:110px;height:12px;vertical-align:-1px}
.plus{color:var(--gain)}.minus{color:var(--loss)}
.base td{font-weight:650}
.sum{font-variant-numeric:tabular-nums;overflow-wrap:anywhere;margin:10px 0 0}
.bad{color:var(--fail);font-weight:600}
.facts{columns:2 380px;column-gap:32px;font-size:13px;margin:8px 0 0}
.facts div{break-inside:avoid;display:flex;gap:10px;justify-content:space-between;border-bottom:1px solid var(--grid);padding:3px 0}
.facts dt{color:var(--soft);overflow-wrap:anywhere;flex:none;max-width:60%}
.facts dd{margin:0;text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
svg text{fill:var(--soft);font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;
font-variant-numeric:tabular-nums}
svg text.name,svg text.value{fill:var(--ink);font-size:13px}
svg text.strong{font-weight:700}
svg text.over{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round;fill:var(--ink)}
.grid{stroke:var(--grid)}.zero{stroke:var(--axis)}.axis{stroke:var(--axis)}
.level{stroke:var(--soft);stroke-dasharray:7 5}
.link{stroke:var(--axis);stroke-dasharray:2 2}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}
.l1{stroke:var(--c1)}.l2{stroke:var(--c2)}.l3{stroke:var(--c3)}.l4{stroke:var(--c4)}
.line.mid{stroke:var(--midline);stroke-width:1.4}
.line.bid{stroke:var(--c1);stroke-width:1.3}
.line.ask{stroke:var(--c2);stroke-width:1.3;stroke-dasharray:4 2.5;stroke-linecap:butt}
.area{stroke:none;opacity:.13}
.area.l1{fill:var(--c1)}.area.l2{fill:var(--c2)}.area.l3{fill:var(--c3)}.area.l4{fill:var(--c4)}
.mark{stroke:var(--card);stroke-width:1}
.mark.buy,.mark.entry{fill:var(--c1)}.mark.sell,.mark.exit{fill:var(--c2)}
.mark.hollow{fill:var(--card);stroke-width:1.7}
.mark.hollow.buy{stroke:var(--c1)}.mark.hollow.sell,.mark.hollow.exit{stroke:var(--c2)}
.band{fill:var(--band)}.fall{fill:var(--fall)}
.gain{fill:var(--gain)}.loss{fill:var(--loss)}.net{fill:var(--netbar)}
.whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
.hits rect{fill:transparent}.hits rect:hover{fill:var(--axis);fill-opacity:.22}
@media (max-width:900px){.top{grid-template-columns:minmax(0,1fr)}}
@media print{
body{background:#ffffff;font-size:12px}
main{max-width:none;padding:0}
.card{box-shadow:none;border:1px solid var(--rule);break-inside:avoid}
.card.long{break-inside:auto}
figure,tr,.facts div{break-inside:avoid}
.scroll>svg{min-width:0}
.hits{display:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
@page{margin:14mm}
}
"""

STYLE = f":root{{color-scheme:light dark;{_LIGHT}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}\n{_RULES}"
"""Everything between the style tags."""
