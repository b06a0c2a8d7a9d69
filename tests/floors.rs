//! Keeps the house in order by reading the sources: who may import whom, where a protocol version may be named, and the budgets.
//!
//! The rules are those of CONTRIBUTING.md, "The floors". There is no list of exceptions. Code under `#[cfg(test)]` is free of the rules on
//! imports and versions, and bound by all the others. Each rule is a function from source files to complaints; each has a test over `src/` and one
//! over a snippet that breaks it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Floor, and the floors it may import besides itself.
const FLOORS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("error", &["wire"]),
    ("crypto", &["wire", "error"]),
    ("verify", &["wire", "error", "crypto"]),
    ("config", &["wire", "error", "crypto", "verify"]),
    ("record", &["wire", "error", "crypto"]),
    ("flight", &["wire", "error"]),
    ("handshake", &["wire", "error", "crypto", "verify", "config"]),
    ("connection", &["wire", "error", "crypto", "verify", "config", "record", "flight", "handshake"]),
    ("endpoint", &["wire", "error", "crypto", "verify", "config", "record", "flight", "handshake", "connection"]),
];

/// Floors and files in which a version may be named, besides the files whose names end in 12 or 13.
const VERSION_FLOORS: &[&str] = &["wire", "config", "handshake", "endpoint"];
const VERSION_FILES: &[&str] = &["crypto/suites.rs", "record/protection.rs", "fuzzing.rs"];
/// Here only in a `use` or `pub use`.
const VERSION_REEXPORTS: &[&str] = &["lib.rs", "error.rs"];

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 80;
const MAX_FIELDS: usize = 15;
/// `src/a/b/file.rs` is as deep as it gets.
const MAX_DEPTH: usize = 3;

// ---- the rules over src/

#[test]
fn floors_import_downwards_only() {
    enforce(imports);
}

#[test]
fn versions_are_named_in_version_files_only() {
    enforce(versions);
}

#[test]
fn each_floor_is_imported_in_one_line() {
    enforce(one_line_per_floor);
}

#[test]
fn files_functions_structs_and_folders_keep_their_budgets() {
    enforce(budgets);
}

#[test]
fn files_begin_with_module_documentation() {
    enforce(documentation);
}

#[test]
fn nothing_is_allowed_unsafe_or_unfinished() {
    enforce(forbidden_words);
}

fn enforce(rule: fn(&[Source]) -> Vec<String>) {
    let sources = read_sources();
    assert!(sources.iter().any(|s| s.path == "lib.rs"), "src/lib.rs was not found: the scan is broken");
    let complaints = rule(&sources);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn imports(sources: &[Source]) -> Vec<String> {
    let mut out = Vec::new();
    for source in sources.iter().filter(|s| !s.test_only && !s.is_root()) {
        let floor = source.floor();
        let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
            out.push(source.at(1, &format!("`{floor}` is not a floor; move the file under one of the floors")));
            continue;
        };
        for (line, target) in references(&source.code, &source.module()) {
            if target == floor || below.contains(&target.as_str()) {
                continue;
            }
            let advice = if FLOORS.iter().any(|(name, _)| *name == target) {
                format!("`{floor}` may not import `{target}`; move the code, or hand the value in from above")
            } else {
                format!("`crate::{target}` hides the floor; import it from the floor that owns it")
            };
            out.push(source.at(line, &advice));
        }
    }
    out
}

fn versions(sources: &[Source]) -> Vec<String> {
    let mut out = Vec::new();
    for source in sources.iter().filter(|s| !s.test_only) {
        let stem = source.path.trim_end_matches(".rs");
        let in_version_tree = source.module().iter().any(|m| ends_in_version(m));
        if in_version_tree
            || ends_in_version(stem)
            || VERSION_FLOORS.contains(&source.floor().as_str())
            || VERSION_FILES.contains(&source.path.as_str())
        {
            continue;
        }
        let reexports = VERSION_REEXPORTS.contains(&source.path.as_str());
        let mut in_use = false;
        for (i, token) in source.code.iter().enumerate() {
            match token.text.as_str() {
                "use" => in_use = true,
                ";" => in_use = false,
                _ => {}
            }
            let declared = i > 0 && source.code[i - 1].text == "mod";
            if declared || (reexports && in_use) || !names_version(&source.code, i) {
                continue;
            }
            let advice = format!(
                "`{}` names a protocol version; take the difference as data, or move this into a file whose name ends in 12 or 13",
                token.text
            );
            out.push(source.at(token.line, &advice));
        }
    }
    out
}

fn one_line_per_floor(sources: &[Source]) -> Vec<String> {
    let mut out = Vec::new();
    for source in sources.iter().filter(|s| !s.test_only) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for window in source.code.windows(4).enumerate() {
            let (i, [keyword, root, colons, name]) = (window.0, window.1) else { continue };
            if keyword.text != "use" || root.text != "crate" || colons.text != "::" {
                continue;
            }
            // `pub use` and `pub(crate) use` are re-exports.
            if i > 0 && (source.code[i - 1].text == "pub" || source.code[i - 1].text == ")") {
                continue;
            }
            if name.text == "{" {
                out.push(
                    source.at(name.line, "write one `use crate::floor::{…};` line per floor, not `use crate::{…}`"),
                );
            } else if let Some(first) = seen.insert(&name.text, name.line) {
                let advice = format!("`crate::{}` is imported in line {first} already; join the two lines", name.text);
                out.push(source.at(name.line, &advice));
            }
        }
    }
    out
}

fn budgets(sources: &[Source]) -> Vec<String> {
    let mut out = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        if lines > MAX_FILE_LINES {
            out.push(
                source.at(
                    MAX_FILE_LINES,
                    &format!("the file has {lines} lines, {MAX_FILE_LINES} are the most; split it"),
                ),
            );
        }
        let depth = source.path.split('/').count();
        if depth > MAX_DEPTH {
            out.push(source.at(1, &format!("the file is {depth} folders deep, {MAX_DEPTH} are the most; move it up")));
        }
        for (name, line, lines) in functions(&source.all) {
            if lines > MAX_FUNCTION_LINES {
                let advice =
                    format!("`fn {name}` has {lines} lines of code, {MAX_FUNCTION_LINES} are the most; split it");
                out.push(source.at(line, &advice));
            }
        }
        for (name, line, fields) in structs(&source.all) {
            if fields > MAX_FIELDS {
                let advice =
                    format!("`struct {name}` has {fields} fields, {MAX_FIELDS} are the most; it is two structs");
                out.push(source.at(line, &advice));
            }
        }
    }
    out
}

fn documentation(sources: &[Source]) -> Vec<String> {
    let undocumented = |s: &&Source| !s.text.trim_start().starts_with("//! ");
    let advice = "begin the file with `//! …`: which floor, what it does, what it may not know";
    sources.iter().filter(undocumented).map(|s| s.at(1, advice)).collect()
}

fn forbidden_words(sources: &[Source]) -> Vec<String> {
    let mut out = Vec::new();
    for source in sources {
        for (i, token) in source.all.iter().enumerate() {
            let next = source.all.get(i + 1).map_or("", |t| t.text.as_str());
            let previous = i.checked_sub(1).map_or("", |p| source.all[p].text.as_str());
            let advice = match (previous, token.text.as_str(), next) {
                ("[" | "(" | ",", "allow", "(") => "obey the lint, or `#[expect(lint, reason = \"…\")]`",
                (_, "unsafe", _) => "there is no unsafe code in this crate",
                (_, "todo" | "unimplemented", "!") => "finish it, or return an error",
                _ => continue,
            };
            out.push(source.at(token.line, &format!("`{}`: {advice}", token.text)));
        }
    }
    out
}

// ---- sources

struct Source {
    /// Relative to `src/`, with `/`.
    path: String,
    text: String,
    /// All tokens; comments and the contents of literals are gone.
    all: Vec<Token>,
    /// The tokens outside `#[cfg(test)]`.
    code: Vec<Token>,
    /// The whole file is a test module.
    test_only: bool,
}

#[derive(Clone)]
struct Token {
    text: String,
    line: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let all = tokens(text);
        let (code, _) = without_tests(&all);
        let test_only = is_test_attribute(&all, 0).is_some_and(|inner| inner.inner);
        Self { path: path.into(), text: text.into(), all, code, test_only }
    }

    fn module(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        if stem == "lib" { Vec::new() } else { stem.split('/').map(String::from).collect() }
    }

    fn floor(&self) -> String {
        self.module().first().cloned().unwrap_or_default()
    }

    /// `lib.rs` re-exports from everywhere, and so does the door for fuzz targets.
    fn is_root(&self) -> bool {
        self.path == "lib.rs" || self.path == "fuzzing.rs"
    }

    fn at(&self, line: usize, advice: &str) -> String {
        format!("src/{}:{line}: {advice}", self.path)
    }
}

fn read_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort();
    let sources = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    mark_test_files(sources)
}

fn collect(root: &Path, folder: &Path, out: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("src/ can be read") {
        let path = entry.expect("src/ can be read").path();
        if path.is_dir() {
            collect(root, &path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let relative = path.strip_prefix(root).expect("the file is under src/");
            let parts: Vec<_> = relative.iter().map(|p| p.to_string_lossy().into_owned()).collect();
            out.push((parts.join("/"), fs::read_to_string(&path).expect("a source file is UTF-8")));
        }
    }
}

/// A file declared by `#[cfg(test)] mod name;` is a test module, and so is everything under it.
fn mark_test_files(mut sources: Vec<Source>) -> Vec<Source> {
    let mut tests: Vec<Vec<String>> = Vec::new();
    for source in &sources {
        for name in without_tests(&source.all).1 {
            tests.push([source.module(), vec![name]].concat());
        }
    }
    for source in &mut sources {
        let module = source.module();
        source.test_only |= tests.iter().any(|t| module.starts_with(t));
    }
    sources
}

// ---- reading Rust, as far as the rules need it

/// Identifiers, lifetimes, `::`, `->`, `=>` and single characters; a literal is the token `"`.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let end = token_end(&chars, i);
        let piece: String = chars[i..end].iter().collect();
        let first = chars[i];
        let word = first.is_alphabetic() || first == '_';
        let literal = first == '"' || first.is_ascii_digit() || (piece.len() > 1 && piece.ends_with(['"', '#', '\'']));
        if literal {
            out.push(Token { text: "\"".into(), line });
        } else if word {
            out.push(Token { text: piece.trim_start_matches("r#").into(), line });
        } else if !first.is_whitespace() && !piece.starts_with("//") && !piece.starts_with("/*") {
            out.push(Token { text: piece.clone(), line });
        }
        line += piece.matches('\n').count();
        i = end;
    }
    out
}

fn token_end(chars: &[char], start: usize) -> usize {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word_end = |mut i: usize| {
        while at(i).is_alphanumeric() || at(i) == '_' {
            i += 1;
        }
        i
    };
    match (at(start), at(start + 1)) {
        ('/', '/') => (start..chars.len()).find(|&i| at(i) == '\n').unwrap_or(chars.len()),
        ('/', '*') => block_comment_end(chars, start),
        ('"', _) => quoted_end(chars, start + 1, '"'),
        ('\'', '\\') => quoted_end(chars, start + 1, '\''),
        ('\'', _) if at(start + 2) == '\'' => start + 3,
        ('\'', _) => word_end(start + 1),
        (':', ':') | ('-' | '=', '>') => start + 2,
        (c, _) if c.is_alphanumeric() || c == '_' => {
            let end = word_end(start);
            let prefix: String = chars[start..end].iter().collect();
            match (prefix.as_str(), at(end)) {
                ("r" | "br" | "cr", '"' | '#') => raw_end(chars, end),
                ("b" | "c", '"') => quoted_end(chars, end + 1, '"'),
                ("b", '\'') => quoted_end(chars, end + 1, '\''),
                _ => end,
            }
        }
        _ => start + 1,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0_usize, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn quoted_end(chars: &[char], mut i: usize, quote: char) -> usize {
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// From the hashes of `r#"…"#`; of a raw identifier `r#name`, its end.
fn raw_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start..].iter().take_while(|c| **c == '#').count();
    let mut i = start + hashes;
    if chars.get(i) != Some(&'"') {
        while chars.get(i).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
            i += 1;
        }
        return i;
    }
    i += 1;
    while i < chars.len() {
        let closing = chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        i += 1;
        if closing {
            return i + hashes;
        }
    }
    i
}

/// Index after the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

struct TestAttribute {
    end: usize,
    inner: bool,
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`, or the same with `#!`, at `i`.
fn is_test_attribute(tokens: &[Token], i: usize) -> Option<TestAttribute> {
    let text = |n: usize| tokens.get(n).map_or("", |t| t.text.as_str());
    let inner = text(i + 1) == "!";
    let open = i + 1 + usize::from(inner);
    let plain = ["[", "cfg", "(", "test", ")", "]"];
    let all = ["[", "cfg", "(", "all", "(", "test", ","];
    let is = |pattern: &[&str]| pattern.iter().enumerate().all(|(n, p)| text(open + n) == *p);
    (text(i) == "#" && (is(&plain) || is(&all))).then(|| TestAttribute { end: closing(tokens, open), inner })
}

/// The tokens outside test items, and the names of the files declared as test modules.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut code, mut files, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        let Some(attribute) = is_test_attribute(tokens, i).filter(|a| !a.inner) else {
            code.push(tokens[i].clone());
            i += 1;
            continue;
        };
        let end = item_end(tokens, attribute.end);
        let item = &tokens[attribute.end..end];
        if let [.., keyword, name, semicolon] = item
            && keyword.text == "mod"
            && semicolon.text == ";"
        {
            files.push(name.text.clone());
        }
        i = end;
    }
    (code, files)
}

/// Index after the item, field, variant or statement that begins at `i`, its attributes included.
fn item_end(tokens: &[Token], mut i: usize) -> usize {
    while tokens.get(i).is_some_and(|t| t.text == "#") {
        i = closing(tokens, i + 1);
    }
    const ITEMS: &[&str] = &[
        "pub",
        "fn",
        "mod",
        "use",
        "struct",
        "enum",
        "impl",
        "const",
        "static",
        "type",
        "trait",
        "let",
        "async",
        "extern",
        "macro_rules",
    ];
    let item = tokens.get(i).is_some_and(|t| ITEMS.contains(&t.text.as_str()));
    let import = tokens.get(i).is_some_and(|t| t.text == "use");
    while let Some(token) = tokens.get(i) {
        match token.text.as_str() {
            ";" => return i + 1,
            "," if !item => return i + 1,
            ")" | "]" | "}" => return i,
            "{" if !import => return closing(tokens, i),
            "(" | "[" | "{" => i = closing(tokens, i),
            _ => i += 1,
        }
    }
    i
}

/// Every path that reaches the crate's root, as the line and the name that follows the root.
fn references(code: &[Token], file_module: &[String]) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut i) = (0_usize, 0);
    while i < code.len() {
        let text = |n: usize| code.get(n).map_or("", |t| t.text.as_str());
        match text(i) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, at)| *at < depth);
            }
            "mod" if text(i + 2) == "{" => inline.push((text(i + 1).into(), depth)),
            "crate" | "super" | "self" => {
                let continued = i > 0 && code[i - 1].text == "::";
                let visibility = i > 1 && code[i - 1].text == "(" && code[i - 2].text == "pub";
                let alone = text(i) == "self" && text(i + 1) != "::";
                if !continued && !visibility && !alone {
                    let mut module = file_module.to_vec();
                    module.extend(inline.iter().map(|(name, _)| name.clone()));
                    i = resolve(code, i, module, &mut out);
                    continue;
                }
            }
            _ => {}
        }
        i += 1;
    }
    out
}

/// Follows one path or use-tree from `i`, standing in `module`; the index after it.
fn resolve(code: &[Token], mut i: usize, mut module: Vec<String>, out: &mut Vec<(usize, String)>) -> usize {
    let text = |n: usize| code.get(n).map_or("", |t| t.text.as_str());
    loop {
        match text(i) {
            "crate" => module.clear(),
            "self" => {}
            "super" => drop(module.pop()),
            "{" => {
                let end = closing(code, i);
                let mut element = i + 1;
                while element + 1 < end {
                    element = resolve(code, element, module.clone(), out);
                    while element + 1 < end && text(element) != "," {
                        element = if text(element) == "{" { closing(code, element) } else { element + 1 };
                    }
                    element += 1;
                }
                return end;
            }
            name => {
                if module.is_empty() {
                    out.push((code[i.min(code.len() - 1)].line, name.into()));
                }
                return i + 1;
            }
        }
        if text(i + 1) != "::" {
            if module.is_empty() {
                out.push((code[i].line, "self".into()));
            }
            return i + 1;
        }
        i += 2;
    }
}

/// An identifier for one of the versions: `DTLS1_2`, `Dtls13`, `ProtocolVersion::…`, `client12`, `Keys13`.
fn names_version(code: &[Token], i: usize) -> bool {
    let text = code[i].text.as_str();
    if text == "ProtocolVersion" {
        return code.get(i + 1).is_some_and(|t| t.text == "::");
    }
    // rustls keeps the key schedules' primitives in modules of these names.
    if text == "tls12" || text == "tls13" {
        return false;
    }
    let plain = text.replace('_', "").to_lowercase();
    let named = ["dtls12", "dtls13", "dtlsv12", "dtlsv13", "version12", "version13"];
    named.iter().any(|n| plain.contains(n)) || ["v12", "v13"].contains(&plain.as_str()) || ends_in_version(text)
}

/// Ends in 12 or 13, and not in another number such as 512.
fn ends_in_version(name: &str) -> bool {
    let stem = name.strip_suffix("12").or_else(|| name.strip_suffix("13"));
    stem.and_then(|s| s.chars().next_back()).is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Name, line and lines of code of each function with a body.
fn functions(tokens: &[Token]) -> Vec<(String, usize, usize)> {
    let mut out = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Some(name) = tokens.get(i + 1).filter(|_| token.text == "fn") else { continue };
        if name.text == "(" {
            continue;
        }
        let mut open = i + 2;
        while let Some(t) = tokens.get(open) {
            match t.text.as_str() {
                "{" | ";" => break,
                "(" | "[" => open = closing(tokens, open),
                _ => open += 1,
            }
        }
        if tokens.get(open).is_some_and(|t| t.text == "{") {
            let mut lines: Vec<usize> = tokens[i..closing(tokens, open)].iter().map(|t| t.line).collect();
            lines.dedup();
            out.push((name.text.clone(), token.line, lines.len()));
        }
    }
    out
}

/// Name, line and number of fields of each struct.
fn structs(tokens: &[Token]) -> Vec<(String, usize, usize)> {
    let mut out = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Some(name) = tokens.get(i + 1).filter(|_| token.text == "struct") else { continue };
        let text = |n: usize| tokens.get(n).map_or("", |t| t.text.as_str());
        let mut open = i + 2;
        if text(open) == "<" {
            open = angle_end(tokens, open);
        }
        if text(open) == "where" {
            while !["{", ";", ""].contains(&text(open)) {
                open = if ["(", "["].contains(&text(open)) { closing(tokens, open) } else { open + 1 };
            }
        }
        let fields = if ["{", "("].contains(&text(open)) { count_fields(tokens, open) } else { 0 };
        out.push((name.text.clone(), token.line, fields));
    }
    out
}

fn angle_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "<" => depth += 1,
            ">" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

fn count_fields(tokens: &[Token], open: usize) -> usize {
    let end = closing(tokens, open) - 1;
    let (mut fields, mut empty, mut i) = (0, true, open + 1);
    while i < end {
        match tokens[i].text.as_str() {
            "," => {
                fields += usize::from(!empty);
                (empty, i) = (true, i + 1);
                continue;
            }
            "(" | "[" | "{" => i = closing(tokens, i),
            "<" => i = angle_end(tokens, i),
            _ => i += 1,
        }
        empty = false;
    }
    fields + usize::from(!empty)
}

// ---- each rule can fail, and fails at the right line

fn complaints(rule: fn(&[Source]) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    rule(&mark_test_files(vec![Source::new(path, text)]))
}

#[track_caller]
fn assert_caught(rule: fn(&[Source]) -> Vec<String>, path: &str, text: &str, lines: &[usize]) {
    let found = complaints(rule, path, text);
    let expected: Vec<String> = lines.iter().map(|l| format!("src/{path}:{l}: ")).collect();
    let matches = found.len() == expected.len() && found.iter().zip(&expected).all(|(f, e)| f.starts_with(e));
    assert!(matches, "expected complaints at lines {lines:?}, got {found:#?}");
}

#[test]
fn an_upward_import_is_caught() {
    assert_caught(imports, "record/mod.rs", "//! x\nuse crate::wire::A;\nuse crate::flight::Flight;\n", &[3]);
    assert_caught(imports, "wire/codec.rs", "use crate::error::Error;", &[1]);
    assert_caught(imports, "flight/mod.rs", "use crate::{wire::A,\n crypto::{B, C},\n error::D};", &[2]);
    assert_caught(imports, "handshake/client.rs", "fn f() {\n crate::record::open(crate::wire::A) }", &[2]);
    assert_caught(imports, "verify/webpki.rs", "fn f() -> super::super::config::C { super::raw_key::x() }", &[1]);
    assert_caught(imports, "record/epoch.rs", "use super::{super::{flight::F, wire::W}, number::N};", &[1]);
    assert_caught(
        imports,
        "record/epoch.rs",
        "mod a {\n use super::super::super::endpoint::E;\n use super::super::number::N; }",
        &[2],
    );
    assert_caught(imports, "config/mod.rs", "macro_rules! m { () => { $crate::endpoint::E } }", &[1]);
}

#[test]
fn a_detour_over_the_root_is_caught() {
    assert_caught(imports, "record/mod.rs", "use crate::Error;", &[1]);
    assert_caught(imports, "record/mod.rs", "use crate::*;", &[1]);
    assert_caught(imports, "record/mod.rs", "use crate as root;", &[1]);
    assert_caught(imports, "record/epoch.rs", "use super::super as root;", &[1]);
    assert_caught(imports, "helpers/mod.rs", "//! not a floor", &[1]);
}

#[test]
fn tests_comments_and_strings_import_what_they_like() {
    let text = "//! crate::endpoint::E\npub(crate) fn f<'a>(x: &'a str) { g('\"', \"crate::endpoint::E\", r#\"crate::endpoint::E\"#) }\n\
                /* /* crate::flight::F */ crate::endpoint::E */\n#[cfg(test)]\nmod tests { use crate::endpoint::E; }\n\
                #[cfg(all(test, feature = \"zlib\"))]\n#[expect(x)]\nuse crate::{endpoint::E};\nuse crate::flight::F;";
    assert_caught(imports, "record/mod.rs", text, &[9]);
    assert_caught(imports, "record/x.rs", "#![cfg(test)]\nuse crate::endpoint::E;", &[]);
    assert_caught(imports, "lib.rs", "pub use crate::endpoint::Endpoint; pub(crate) use endpoint::E;", &[]);
    let sources =
        [Source::new("wire/mod.rs", "#[cfg(test)]\nmod model;"), Source::new("wire/model.rs", "use crate::flight::F;")];
    assert_eq!(imports(&mark_test_files(sources.into())), Vec::<String>::new());
}

#[test]
fn a_version_outside_a_version_file_is_caught() {
    for name in
        ["DTLS1_2", "DTLSv1_3", "Dtls13", "ProtocolVersion::new()", "client12::f()", "Keys13", "is_dtls12", "V1_2"]
    {
        assert_caught(versions, "flight/mod.rs", &format!("//! Dtls13\nconst X: A = {name};"), &[2]);
        assert_caught(versions, "record/protection.rs", &format!("const X: A = {name};"), &[]);
        assert_caught(versions, "record/protect13.rs", &format!("const X: A = {name};"), &[]);
        assert_caught(versions, "lib.rs", &format!("const X: A = {name};"), &[1]);
        assert_caught(versions, "record/mod.rs", &format!("#[cfg(test)] fn f() {{ {name} }}"), &[]);
    }
    assert_caught(versions, "record/mod.rs", "mod protect12;\nuse protect12::seal;", &[2]);
    assert_caught(versions, "lib.rs", "pub use wire::{DTLS1_2, DTLS1_3};\nfn f() { DTLS1_2 }", &[2]);
    assert_caught(versions, "crypto/hkdf.rs", "use rustls::crypto::tls13::Hkdf; const SHA512: A = SHA_512;", &[]);
    assert_caught(versions, "error.rs", "const A: D = AlertDescription::ProtocolVersion;", &[]);
}

#[test]
fn a_second_import_line_is_caught() {
    let text = "use crate::wire::A;\npub(crate) use crate::wire::B;\nuse crate::error::C;\nuse crate::wire::{D, E};\nuse crate::{F};";
    assert_caught(one_line_per_floor, "record/mod.rs", text, &[4, 5]);
}

#[test]
fn a_broken_budget_is_caught() {
    assert_caught(budgets, "wire/a.rs", &"\n".repeat(MAX_FILE_LINES), &[]);
    assert_caught(budgets, "wire/a.rs", &"\n".repeat(MAX_FILE_LINES + 1), &[MAX_FILE_LINES]);
    let function =
        |n: usize| format!("\nfn f(x: [u8; 2]) {{\n{}}}\ntrait T {{ fn g(); }}", "a();// b\n\n// c\n".repeat(n));
    assert_caught(budgets, "wire/a.rs", &function(MAX_FUNCTION_LINES - 2), &[]);
    assert_caught(budgets, "wire/a.rs", &function(MAX_FUNCTION_LINES - 1), &[2]);
    let fields = |n: usize| {
        format!(
            "struct S<T: A<B>> where T: Fn(u8, u8) {{ {} }}",
            "/// d\n#[a(b, c)] pub x: M<(u8, T), fn(u8) -> T>,\n".repeat(n)
        )
    };
    assert_caught(budgets, "wire/a.rs", &fields(MAX_FIELDS), &[]);
    assert_caught(budgets, "wire/a.rs", &fields(MAX_FIELDS + 1), &[1]);
    assert_caught(budgets, "wire/a.rs", &format!("struct S({});", "u8, ".repeat(MAX_FIELDS + 1)), &[1]);
    assert_caught(budgets, "wire/a/b.rs", "", &[]);
    assert_caught(budgets, "wire/a/b/c.rs", "", &[1]);
}

#[test]
fn missing_documentation_is_caught() {
    assert_caught(documentation, "wire/a.rs", "// not a doc comment\n//! late\n", &[1]);
    assert_caught(documentation, "wire/a.rs", "//! Numbers.\n", &[]);
}

#[test]
fn forbidden_words_are_caught() {
    let text = "#![forbid(unsafe_code)]\n#[allow(dead_code)]\nfn f() { todo!() }\n#[cfg_attr(test, allow(x))]\nfn g() { unimplemented!() }\n\
                fn h() { unsafe { allow(1) } } // unsafe todo!()\n";
    assert_caught(forbidden_words, "wire/a.rs", text, &[2, 3, 4, 5, 6]);
}
