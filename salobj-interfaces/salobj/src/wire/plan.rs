//! The projecting decoder: from a writer's schema and the fields wanted to a list of steps over the bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;

use super::WireError;
use super::cursor::Cursor;
use super::run::{self, Item, Op, Read};
use crate::value::Value;

/// Steps a plan may have; a schema that needs more (it would be recursive, or hostile) is refused.
const MAX_OPS: usize = 100_000;
/// Nesting of records, unions and arrays that is followed.
const MAX_DEPTH: usize = 64;

/// Which part of a field is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Select {
    /// The value, or the whole array.
    #[default]
    All,
    /// One element of an array; null where the array is shorter.
    Element(usize),
    /// Elements from the first to before the second; fewer where the array is shorter.
    Slice(usize, usize),
}

/// The kind of value that the reader expects; an integer field is widened where `Double` is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Boolean.
    Bool,
    /// Any integer.
    Int,
    /// Float or double.
    Double,
    /// Text, also the symbol of an Avro enumeration.
    Text,
}

/// One field (or part of it) to be read into one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// Field name; dots lead into nested records.
    pub path: String,
    /// Part of it.
    pub select: Select,
    /// What it must be; `None` takes what the writer has.
    pub kind: Option<Kind>,
    /// The cell's value where the writer's schema has no such field.
    pub default: Value,
}

impl Want {
    /// The whole field, of any kind, null if the writer does not have it.
    pub fn field(path: impl Into<String>) -> Want {
        Want { path: path.into(), select: Select::All, kind: None, default: Value::Null }
    }

    /// A part of it.
    pub fn select(self, select: Select) -> Want {
        Want { select, ..self }
    }
}

/// Why no plan could be made; every problem at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The text is no Avro schema of a record.
    #[error("schema: {0}")]
    Schema(String),
    /// Fields that cannot be read as wanted: `field: reason`.
    #[error("{}", .0.join("; "))]
    Fields(Vec<String>),
}

/// How to get the wanted cells out of a record of one writer's schema.
///
/// ```
/// use salobj::{Value, wire::{Plan, Select, Want}};
/// let schema = r#"{"type": "record", "name": "x", "fields": [
///     {"name": "n", "type": "int"}, {"name": "a", "type": {"type": "array", "items": "double"}}]}"#;
/// let plan = Plan::compile(schema, &[Want::field("a").select(Select::Element(1))]).unwrap();
/// let mut cells = [Value::Null];
/// let body = [2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0];
/// plan.decode(&body, &mut cells).unwrap();
/// assert_eq!(cells[0], Value::Double(1.0));
/// assert!(plan.decode(&body[..18], &mut cells).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    ops: Box<[Op]>,
    /// Cells that no field of this writer fills.
    defaults: Vec<(usize, Value)>,
    cells: usize,
}

impl Plan {
    /// Compiles a plan. A wanted field that the writer does not have is no error: its cell gets the default.
    pub fn compile(writer_schema: &str, wants: &[Want]) -> Result<Plan, PlanError> {
        let schema = Schema::parse_str(writer_schema).map_err(|e| PlanError::Schema(e.to_string()))?;
        Plan::of_schema(&schema, wants)
    }

    pub(super) fn of_schema(schema: &Schema, wants: &[Want]) -> Result<Plan, PlanError> {
        if !matches!(schema, Schema::Record(_)) {
            return Err(PlanError::Schema("it is not a record".to_owned()));
        }
        let mut names = BTreeMap::new();
        collect_names(schema, &mut names);
        let mut compiler =
            Compiler { names, wants, found: vec![false; wants.len()], errors: Vec::new(), budget: MAX_OPS };
        let paths: Vec<Path<'_>> =
            wants.iter().enumerate().map(|(cell, w)| Path { cell, rest: Some(w.path.as_str()) }).collect();
        let mut ops = Vec::new();
        compiler.node(schema, &paths, &mut ops, 0);
        if compiler.budget == 0 {
            compiler.errors.push("the schema is recursive or too large".to_owned());
        }
        compiler.errors.dedup();
        if !compiler.errors.is_empty() {
            return Err(PlanError::Fields(compiler.errors));
        }
        let unfilled = compiler.found.iter().zip(wants).enumerate().filter(|(_, (found, _))| !**found);
        let defaults = unfilled.map(|(cell, (_, want))| (cell, want.default.clone())).collect();
        Ok(Plan { ops: ops.into(), defaults, cells: wants.len() })
    }

    /// Number of cells: that of the wants.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Cells that no field of this writer's schema fills (they get the default of their want).
    pub fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        self.defaults.iter().map(|d| d.0)
    }

    /// Reads the wanted cells of an Avro body, in the order of the wants. The whole body is walked: one that ends
    /// too early or too late is an error, and then the content of the cells is undefined. Texts that are already in
    /// their cell are kept without allocation.
    ///
    /// # Panics
    /// Never on any input bytes; `cells` must have [`Plan::cells`] elements.
    pub fn decode(&self, body: &[u8], cells: &mut [Value]) -> Result<(), WireError> {
        assert_eq!(cells.len(), self.cells, "one cell for each want");
        for (cell, value) in &self.defaults {
            cells[*cell] = value.clone();
        }
        let mut cursor = Cursor::new(body);
        run::run(&self.ops, &mut cursor, cells)?;
        match cursor.left() {
            0 => Ok(()),
            left => Err(WireError::Trailing(left)),
        }
    }
}

/// A want on its way down the schema: the cell, and what is left of its path (`None`: this is the field).
#[derive(Clone, Copy)]
struct Path<'a> {
    cell: usize,
    rest: Option<&'a str>,
}

struct Compiler<'a> {
    names: BTreeMap<String, &'a Schema>,
    wants: &'a [Want],
    found: Vec<bool>,
    errors: Vec<String>,
    budget: usize,
}

impl<'a> Compiler<'a> {
    /// Steps over one value of `schema` that fill the cells of `paths`.
    fn node(&mut self, schema: &'a Schema, paths: &[Path<'a>], ops: &mut Vec<Op>, depth: usize) {
        if self.budget == 0 || depth > MAX_DEPTH {
            self.budget = 0;
            return;
        }
        self.budget -= 1;
        match schema {
            Schema::Ref { name } => match self.names.get(&name.fullname(None)) {
                Some(named) => self.node(named, paths, ops, depth + 1),
                None => self.errors.push(format!("the schema names the unknown type {name}")),
            },
            Schema::Record(record) => {
                for path in paths.iter().filter(|p| p.rest.is_none()) {
                    self.error(path.cell, "is a record; name one of its fields");
                }
                for field in &record.fields {
                    let inner: Vec<Path<'a>> = paths.iter().filter_map(|p| descend(p, &field.name)).collect();
                    self.node(&field.schema, &inner, ops, depth + 1);
                }
            }
            Schema::Union(union) => {
                let mut branch = |schema: &'a Schema| {
                    let mut ops = Vec::new();
                    if matches!(schema, Schema::Null) {
                        ops.extend(paths.iter().map(|p| Op::Null(p.cell)));
                    } else {
                        // A branch without the field (or of another kind of record) leaves the cell null.
                        ops.extend(paths.iter().filter(|p| p.rest.is_some()).map(|p| Op::Null(p.cell)));
                        self.node(schema, paths, &mut ops, depth + 1);
                    }
                    ops.into_boxed_slice()
                };
                let branches = union.variants().iter().map(&mut branch).collect();
                ops.push(Op::Union(branches));
            }
            _ if paths.is_empty() => self.skip(schema, ops, depth),
            _ => self.leaf(schema, paths, ops),
        }
    }

    /// Steps that read one value into every cell that wants it.
    fn leaf(&mut self, schema: &'a Schema, paths: &[Path<'a>], ops: &mut Vec<Op>) {
        if paths.len() > 1 {
            ops.push(Op::Mark);
        }
        for (n, path) in paths.iter().enumerate() {
            self.found[path.cell] = true;
            if n > 0 {
                ops.push(Op::Rewind);
            }
            let want = &self.wants[path.cell];
            if path.rest.is_some() {
                self.error(path.cell, "is not a record");
                continue;
            }
            let read = match schema {
                Schema::Array(array) => {
                    self.item(&array.items, want.kind).map(|item| Read::Array(item, want.select))
                }
                _ if want.select != Select::All => Err("is not an array".to_owned()),
                _ => self.item(schema, want.kind).map(Read::Scalar),
            };
            match read {
                Ok(read) => ops.push(Op::Read(path.cell, read)),
                Err(reason) => self.error(path.cell, &reason),
            }
        }
    }

    /// How a scalar of this schema becomes a value of the kind.
    fn item(&self, schema: &'a Schema, kind: Option<Kind>) -> Result<Item, String> {
        let natural = match primitive(schema) {
            Primitive::Bool => (Item::Bool, Kind::Bool),
            Primitive::Int => (Item::Int, Kind::Int),
            Primitive::Long => (Item::Long, Kind::Int),
            Primitive::Float => (Item::Float, Kind::Double),
            Primitive::Double => (Item::Double, Kind::Double),
            Primitive::Text => (Item::Text, Kind::Text),
            Primitive::Symbol(symbols) => {
                (Item::Symbol(symbols.iter().map(|s| Arc::from(s.as_str())).collect()), Kind::Text)
            }
            Primitive::Other => return Err("has a type that cannot be read (only skipped)".to_owned()),
        };
        match (natural, kind) {
            ((Item::Int, _), Some(Kind::Double)) => Ok(Item::IntAsDouble),
            ((Item::Long, _), Some(Kind::Double)) => Ok(Item::LongAsDouble),
            ((item, natural), kind) if kind.is_none_or(|k| k == natural) => Ok(item),
            ((_, natural), kind) => Err(format!("is {natural:?}, wanted is {:?}", kind.unwrap_or(natural))),
        }
    }

    /// Steps over one value that nobody wants.
    fn skip(&mut self, schema: &'a Schema, ops: &mut Vec<Op>, depth: usize) {
        let fixed = |size: usize| Op::SkipBytes(size);
        let op = match schema {
            Schema::Null => return,
            Schema::Fixed(f) | Schema::Duration(f) => fixed(f.size),
            Schema::Uuid(apache_avro::schema::UuidSchema::Fixed(f)) => fixed(f.size),
            Schema::Decimal(d) => match &d.inner {
                apache_avro::schema::InnerDecimalSchema::Fixed(f) => fixed(f.size),
                apache_avro::schema::InnerDecimalSchema::Bytes => Op::SkipSized,
            },
            Schema::Array(array) => self.skip_items(&array.items, false, depth),
            Schema::Map(map) => self.skip_items(&map.types, true, depth),
            _ => match primitive(schema) {
                Primitive::Bool => fixed(1),
                Primitive::Float => fixed(4),
                Primitive::Double => fixed(8),
                Primitive::Int | Primitive::Long | Primitive::Symbol(_) => Op::SkipVarints(1),
                Primitive::Text | Primitive::Other => Op::SkipSized,
            },
        };
        push_merged(ops, op);
    }

    fn skip_items(&mut self, items: &'a Schema, keyed: bool, depth: usize) -> Op {
        let mut inner = Vec::new();
        if keyed {
            inner.push(Op::SkipSized);
        }
        self.node(items, &[], &mut inner, depth + 1);
        match inner.as_slice() {
            [Op::SkipBytes(size)] => Op::SkipFixedItems(*size),
            _ => Op::SkipItems(inner.into()),
        }
    }

    fn error(&mut self, cell: usize, reason: &str) {
        self.found[cell] = true;
        self.errors.push(format!("{}: {reason}", self.wants[cell].path));
    }
}

/// The path below a field of that name, if it leads there.
fn descend<'a>(path: &Path<'a>, field: &str) -> Option<Path<'a>> {
    let rest = path.rest?;
    let (head, tail) = match rest.split_once('.') {
        Some((head, tail)) => (head, Some(tail)),
        None => (rest, None),
    };
    (head == field).then_some(Path { cell: path.cell, rest: tail })
}

/// Adjacent skips become one.
fn push_merged(ops: &mut Vec<Op>, op: Op) {
    match (ops.last_mut(), &op) {
        (Some(Op::SkipBytes(a)), Op::SkipBytes(b)) => *a += b,
        (Some(Op::SkipVarints(a)), Op::SkipVarints(b)) => *a += b,
        _ => ops.push(op),
    }
}

enum Primitive<'a> {
    Bool,
    Int,
    Long,
    Float,
    Double,
    Text,
    Symbol(&'a [String]),
    Other,
}

/// The type on the wire, logical types reduced to it.
fn primitive(schema: &Schema) -> Primitive<'_> {
    match schema {
        Schema::Boolean => Primitive::Bool,
        Schema::Int | Schema::Date | Schema::TimeMillis => Primitive::Int,
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Primitive::Long,
        Schema::Float => Primitive::Float,
        Schema::Double => Primitive::Double,
        Schema::String | Schema::Uuid(apache_avro::schema::UuidSchema::String) => Primitive::Text,
        Schema::Enum(e) => Primitive::Symbol(&e.symbols),
        _ => Primitive::Other,
    }
}

/// All named types of a schema by their full name.
fn collect_names<'a>(schema: &'a Schema, names: &mut BTreeMap<String, &'a Schema>) {
    if let Some(name) = schema.name()
        && !matches!(schema, Schema::Ref { .. })
    {
        names.insert(name.fullname(None), schema);
    }
    match schema {
        Schema::Record(record) => record.fields.iter().for_each(|f| collect_names(&f.schema, names)),
        Schema::Union(union) => union.variants().iter().for_each(|s| collect_names(s, names)),
        Schema::Array(array) => collect_names(&array.items, names),
        Schema::Map(map) => collect_names(&map.types, names),
        _ => {}
    }
}
