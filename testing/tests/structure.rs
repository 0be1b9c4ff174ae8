//! No module needs one that needs it, and none needs one that its crate's table of modules has after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{Attribute, Item, UseTree, Visibility};

/// A module as the crate names it: `["capture", "jpeg"]`.
type Module = Vec<String>;

/// The modules of a crate that tests alone do not make.
#[derive(Default)]
struct Crate {
    files: BTreeMap<Module, PathBuf>,
    /// Names that a module defines itself.
    defined: BTreeMap<Module, BTreeSet<String>>,
    /// What a module's names mean that come from elsewhere, and whether others may use them too.
    imported: BTreeMap<Module, Vec<Import>>,
    /// Paths that a module's code holds.
    paths: BTreeMap<Module, Vec<Vec<String>>>,
}

#[derive(Clone, Debug)]
struct Import {
    /// `None`: all names.
    name: Option<String>,
    path: Vec<String>,
    public: bool,
}

impl Crate {
    fn read(root: &Path) -> Crate {
        let mut all = Crate::default();
        all.module(&root.join("lib.rs"), root, Vec::new());
        all
    }

    fn module(&mut self, file: &Path, folder: &Path, module: Module) {
        let text =
            std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.files.insert(module.clone(), file.to_owned());
        self.items(&parsed.items, folder, &module);
    }

    fn items(&mut self, items: &[Item], folder: &Path, module: &Module) {
        let mut code = Paths::default();
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            if let Some(name) = name(item) {
                self.defined.entry(module.clone()).or_default().insert(name);
            }
            match item {
                Item::Mod(inner) => {
                    let name = inner.ident.to_string();
                    let mut path = module.clone();
                    path.push(name.clone());
                    match &inner.content {
                        Some((_, items)) => {
                            self.files.insert(path.clone(), self.files[module].clone());
                            self.items(items, &folder.join(&name), &path);
                        }
                        None => {
                            let flat = folder.join(format!("{name}.rs"));
                            let file = if flat.is_file() { flat } else { folder.join(&name).join("mod.rs") };
                            self.module(&file, &folder.join(&name), path);
                        }
                    }
                }
                Item::Use(used) => {
                    let public = !matches!(used.vis, Visibility::Inherited);
                    let mut imports = Vec::new();
                    flatten(&used.tree, &[], public, &mut imports);
                    self.imported.entry(module.clone()).or_default().extend(imports);
                }
                _ => code.visit_item(item),
            }
        }
        self.paths.entry(module.clone()).or_default().extend(code.0);
    }

    /// The module that defines what a path in `from` means, and the name; `None` for what is not of this crate.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<(Module, Option<String>)> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            _ if depth == 0 => return None,
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => {
                let mut at = from[..from.len().checked_sub(1)?].to_vec();
                while let Some(("super", more)) = rest.split_first().map(|(word, more)| (word.as_str(), more))
                {
                    at.pop()?;
                    rest = more;
                }
                at
            }
            _ => {
                // A name of this module's own, of a module below it, or one that it imports.
                return self.lookup(from, path, depth);
            }
        };
        while let Some((next, more)) = rest.split_first() {
            let mut below = at.clone();
            below.push(next.clone());
            if !self.files.contains_key(&below) {
                return self.lookup(&at, rest, depth);
            }
            (at, rest) = (below, more);
        }
        Some((at, None))
    }

    fn lookup(&self, at: &Module, path: &[String], depth: usize) -> Option<(Module, Option<String>)> {
        let (first, rest) = path.split_first()?;
        let mut below = at.clone();
        below.push(first.clone());
        if self.files.contains_key(&below) {
            return if rest.is_empty() { Some((below, None)) } else { self.lookup(&below, rest, depth) };
        }
        if self.defined.get(at).is_some_and(|names| names.contains(first)) {
            return Some((at.clone(), Some(first.clone())));
        }
        let imports = self.imported.get(at).map_or(&[][..], Vec::as_slice);
        for import in imports {
            let mut full = import.path.clone();
            match &import.name {
                Some(name) if name == first => full.extend(rest.iter().cloned()),
                Some(_) => continue,
                None => full.extend(path.iter().cloned()),
            }
            if full != path
                && let Some(found) = self.resolve(at, &full, depth - 1)
            {
                return Some(found);
            }
        }
        None
    }

    /// For each file the files that it needs, and a name that it needs of each.
    fn needs(&self) -> BTreeMap<PathBuf, BTreeMap<PathBuf, String>> {
        let mut needs = BTreeMap::<PathBuf, BTreeMap<PathBuf, String>>::new();
        for (module, file) in &self.files {
            let code = self.paths.get(module).into_iter().flatten().cloned();
            let own = self.imported.get(module).into_iter().flatten().filter(|import| !import.public);
            let imports = own.map(|import| match &import.name {
                Some(_) => import.path.clone(),
                None => import.path.iter().cloned().chain(["*".to_owned()]).collect(),
            });
            let of_file = needs.entry(file.clone()).or_default();
            for path in code.chain(imports) {
                let path: Vec<String> = path.into_iter().filter(|word| word != "*").collect();
                // A module that is only named is needed for what is taken from it elsewhere.
                if let Some((module, Some(name))) = self.resolve(module, &path, 12)
                    && self.files[&module] != *file
                {
                    of_file.entry(self.files[&module].clone()).or_insert(name);
                }
            }
        }
        needs
    }
}

/// Paths of two words and more, outside of macros.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl<'a> Visit<'a> for Paths {
    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        // Arguments of macros that are called like functions are expressions.
        let parser = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if let Ok(arguments) = call.parse_body_with(parser) {
            arguments.iter().for_each(|argument| self.visit_expr(argument));
        }
    }

    fn visit_item_use(&mut self, used: &'a syn::ItemUse) {
        let mut imports = Vec::new();
        flatten(&used.tree, &[], false, &mut imports);
        self.0.extend(imports.into_iter().map(|import| import.path));
    }
}

fn flatten(tree: &UseTree, before: &[String], public: bool, imports: &mut Vec<Import>) {
    let with = |name: &syn::Ident| -> Vec<String> {
        let own = (name != "self").then(|| name.to_string());
        before.iter().cloned().chain(own).collect()
    };
    match tree {
        UseTree::Path(path) => {
            let before: Vec<String> = before.iter().cloned().chain([path.ident.to_string()]).collect();
            flatten(&path.tree, &before, public, imports);
        }
        UseTree::Name(name) => {
            let path = with(&name.ident);
            imports.push(Import { name: path.last().cloned(), path, public });
        }
        UseTree::Rename(rename) => {
            imports.push(Import { name: Some(rename.rename.to_string()), path: with(&rename.ident), public });
        }
        UseTree::Glob(_) => imports.push(Import { name: None, path: before.to_vec(), public }),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, before, public, imports));
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// Files that need one another, directly or through others: each set of two or more.
fn circles(needs: &BTreeMap<PathBuf, BTreeMap<PathBuf, String>>) -> Vec<BTreeSet<PathBuf>> {
    let reached = |start: &PathBuf| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(file) = next.pop() {
            for needed in needs.get(file).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(needed.clone()) {
                    next.push(needed);
                }
            }
        }
        seen
    };
    let all: BTreeMap<_, _> = needs.keys().map(|file| (file.clone(), reached(file))).collect();
    let mut circles = BTreeSet::new();
    for (file, reached) in &all {
        if reached.contains(file) {
            circles.insert(reached.iter().filter(|other| all[*other].contains(file)).cloned().collect());
        }
    }
    circles.into_iter().collect()
}

fn no_circles(root: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(root);
    let needs = Crate::read(&root).needs();
    assert!(needs.values().map(BTreeMap::len).sum::<usize>() > needs.len(), "hardly anything was read");
    let circles = circles(&needs);
    let mut told = String::new();
    for circle in &circles {
        told.push_str(&format!("\n{} files need one another:\n", circle.len()));
        for file in circle {
            for (needed, name) in needs[file].iter().filter(|(needed, _)| circle.contains(*needed)) {
                let [file, needed] = [file, needed].map(|file| file.strip_prefix(&root).unwrap().display());
                told.push_str(&format!("  {file} needs {name} of {needed}\n"));
            }
        }
    }
    assert!(circles.is_empty(), "{}: {told}", root.display());
}

/// The modules of a crate in the order of the table in the documentation of its `lib.rs`.
fn table(lib: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(lib).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.map(|row| row.split('`').next().unwrap_or_default().to_owned()).collect()
}

/// That no module needs one that the table has after it; modules that are not in the table may be needed by all.
fn in_order(root: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(root);
    let table = table(&root.join("lib.rs"));
    assert!(table.len() > 10, "{table:?}");
    let place = |file: &Path| {
        let first = file.strip_prefix(&root).unwrap().components().next()?;
        let name = Path::new(first.as_os_str()).file_stem()?.to_str()?.to_owned();
        table.iter().position(|module| *module == name)
    };
    let mut wrong = Vec::new();
    for (file, needs) in Crate::read(&root).needs() {
        for (needed, name) in needs {
            if let (Some(own), Some(other)) = (place(&file), place(&needed))
                && other > own
            {
                wrong.push(format!("{} needs {name} of {}", file.display(), needed.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "the table in lib.rs has it the other way round:\n{}", wrong.join("\n"));
}

#[test]
fn the_carts_modules_know_only_those_before_them() {
    in_order("src");
}

#[test]
fn the_workstations_modules_know_only_those_before_them() {
    in_order("host/src");
}

#[test]
fn no_circle_among_the_carts_modules() {
    no_circles("src");
}

#[test]
fn no_circle_among_the_workstations_modules() {
    no_circles("host/src");
}

#[test]
fn circles_are_found_through_imports_and_exports() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "pub mod a; mod b; mod c; mod d; #[cfg(test)] mod tests;");
    write("a/mod.rs", "mod inner; pub use inner::Thing; pub const LIMIT: usize = 1;");
    // By a path, by a module's own name, within a macro.
    write("a/inner.rs", "use crate::b; pub struct Thing; fn f() { println!(\"{}\", b::deep::x()); }");
    write("b.rs", "pub mod deep { pub fn x() -> super::super::a::Thing { crate::a::Thing } }");
    // Needs others, and nobody needs it.
    write("c.rs", "use crate::{a::LIMIT, d}; fn f() { d::g(LIMIT) }");
    write("d.rs", "pub fn g(_: usize) {} #[cfg(test)] mod tests { use crate::c; }");
    let needs = Crate::read(folder.path()).needs();
    let circles = circles(&needs);
    let expected: BTreeSet<PathBuf> = ["a/inner.rs", "b.rs"].map(|name| folder.path().join(name)).into();
    assert_eq!(circles, [expected]);
    let of_c: Vec<_> = needs[&folder.path().join("c.rs")].keys().cloned().collect();
    assert_eq!(of_c, ["a/mod.rs", "d.rs"].map(|name| folder.path().join(name)));
}
