//! The steps of a [`super::Plan`] and how they are carried out.

use std::sync::Arc;

use super::WireError;
use super::cursor::Cursor;
use super::plan::Select;
use crate::value::Value;

/// One step over the bytes of a record.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Pass so many bytes.
    SkipBytes(usize),
    /// Pass so many varints.
    SkipVarints(usize),
    /// Pass a length and so many bytes.
    SkipSized,
    /// Pass an array whose items have a fixed size.
    SkipFixedItems(usize),
    /// Pass an array or map, item by item.
    SkipItems(Box<[Op]>),
    /// Go on with the branch that the index names.
    Union(Box<[Box<[Op]>]>),
    /// Set a cell to null.
    Null(usize),
    /// Read a value into a cell.
    Read(usize, Read),
    /// Remember the position: several cells want the next value.
    Mark,
    /// Go back to it.
    Rewind,
}

/// What is read into a cell.
#[derive(Debug, Clone)]
pub(super) enum Read {
    Scalar(Item),
    Array(Item, Select),
}

/// A scalar on the wire and what becomes of it.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Bool,
    Int,
    Long,
    IntAsDouble,
    LongAsDouble,
    Float,
    Double,
    Text,
    Symbol(Arc<[Arc<str>]>),
}

/// Carries out the steps.
pub(super) fn run(ops: &[Op], cursor: &mut Cursor<'_>, cells: &mut [Value]) -> Result<(), WireError> {
    let mut mark = cursor.at;
    for op in ops {
        match op {
            Op::SkipBytes(count) => {
                cursor.take(*count)?;
            }
            Op::SkipVarints(count) => {
                for _ in 0..*count {
                    cursor.skip_varint()?;
                }
            }
            Op::SkipSized => {
                cursor.sized()?;
            }
            Op::SkipFixedItems(size) => blocks(cursor, |cursor, count| match count.checked_mul(*size) {
                Some(bytes) => cursor.take(bytes).map(|_| ()),
                None => cursor.bad(TOO_LONG),
            })?,
            Op::SkipItems(inner) => blocks(cursor, |cursor, count| {
                if !inner.is_empty() {
                    for _ in 0..count {
                        run(inner, cursor, cells)?;
                    }
                }
                Ok(())
            })?,
            Op::Union(branches) => {
                let index = cursor.long()?;
                match usize::try_from(index).ok().and_then(|i| branches.get(i)) {
                    Some(branch) => run(branch, cursor, cells)?,
                    None => return cursor.bad("a union has no such branch"),
                }
            }
            Op::Null(cell) => cells[*cell] = Value::Null,
            Op::Read(cell, read) => match read {
                Read::Scalar(item) => scalar(item, cursor, &mut cells[*cell])?,
                Read::Array(item, select) => cells[*cell] = array(item, *select, cursor)?,
            },
            Op::Mark => mark = cursor.at,
            Op::Rewind => cursor.at = mark,
        }
    }
    Ok(())
}

/// Calls `each` with the number of items of every block of an array or map. A block with its size is walked too, so
/// that a wrong size is noticed.
fn blocks<'a>(
    cursor: &mut Cursor<'a>,
    mut each: impl FnMut(&mut Cursor<'a>, usize) -> Result<(), WireError>,
) -> Result<(), WireError> {
    loop {
        let (count, size) = cursor.block()?;
        if count == 0 {
            return Ok(());
        }
        let start = cursor.at;
        each(cursor, count)?;
        if size.is_some_and(|size| cursor.at - start != size) {
            return cursor.bad("a block is not as long as it says");
        }
    }
}

fn scalar(item: &Item, cursor: &mut Cursor<'_>, cell: &mut Value) -> Result<(), WireError> {
    *cell = match item {
        Item::Bool => Value::Bool(cursor.boolean()?),
        Item::Int => Value::Int(cursor.int()?),
        Item::Long => Value::Int(cursor.long()?),
        Item::IntAsDouble => Value::Double(cursor.int()? as f64),
        Item::LongAsDouble => Value::Double(cursor.long()? as f64),
        Item::Float => Value::Double(cursor.float()?),
        Item::Double => Value::Double(cursor.double()?),
        Item::Symbol(symbols) => Value::Text(symbol(symbols, cursor)?),
        Item::Text => {
            let text = cursor.text()?;
            if matches!(cell, Value::Text(old) if **old == *text) {
                return Ok(());
            }
            Value::Text(text.into())
        }
    };
    Ok(())
}

fn symbol(symbols: &[Arc<str>], cursor: &mut Cursor<'_>) -> Result<Arc<str>, WireError> {
    let index = cursor.int()?;
    match usize::try_from(index).ok().and_then(|i| symbols.get(i)) {
        Some(symbol) => Ok(Arc::clone(symbol)),
        None => cursor.bad("an enumeration has no such symbol"),
    }
}

fn array(item: &Item, select: Select, cursor: &mut Cursor<'_>) -> Result<Value, WireError> {
    match item {
        Item::Bool => items(select, cursor, Cursor::boolean, Value::Bool, Value::Bools),
        Item::Int => items(select, cursor, Cursor::int, Value::Int, Value::Ints),
        Item::Long => items(select, cursor, Cursor::long, Value::Int, Value::Ints),
        Item::IntAsDouble => {
            items(select, cursor, |c| c.int().map(|v| v as f64), Value::Double, Value::Doubles)
        }
        Item::LongAsDouble => {
            items(select, cursor, |c| c.long().map(|v| v as f64), Value::Double, Value::Doubles)
        }
        Item::Float => doubles::<4>(select, cursor, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Item::Double => doubles::<8>(select, cursor, f64::from_le_bytes),
        Item::Text => items(select, cursor, |c| c.text().map(Arc::from), Value::Text, Value::Texts),
        Item::Symbol(symbols) => items(select, cursor, |c| symbol(symbols, c), Value::Text, Value::Texts),
    }
}

impl Select {
    /// The first item that is selected, and the one after the last.
    fn range(self) -> (usize, usize) {
        match self {
            Select::All => (0, usize::MAX),
            Select::Element(index) => (index, index.saturating_add(1)),
            Select::Slice(from, to) => (from, to),
        }
    }
}

/// Reads the selected items of an array of numbers of `N` bytes. What is not selected is passed at once; what is, is taken
/// as bytes and made numbers in one go, in the memory in which it stays.
fn doubles<const N: usize>(
    select: Select,
    cursor: &mut Cursor<'_>,
    number: impl Fn([u8; N]) -> f64,
) -> Result<Value, WireError> {
    let (from, to) = select.range();
    // Nearly always all lies in one block; if not, the blocks are joined.
    let (mut first, mut joined): (&[u8], Vec<u8>) = (&[], Vec::new());
    let mut index = 0_usize;
    blocks(cursor, |cursor, count| {
        if count > cursor.left() / N {
            return cursor.bad(TOO_LONG);
        }
        let bytes = cursor.take(count * N)?;
        let end = index + count;
        let begin = from.clamp(index, end);
        let selected = &bytes[(begin - index) * N..(to.clamp(begin, end) - index) * N];
        index = end;
        match (first.is_empty(), joined.is_empty()) {
            (true, _) => first = selected,
            (false, true) if !selected.is_empty() => joined = [first, selected].concat(),
            (false, _) => joined.extend_from_slice(selected),
        }
        Ok(())
    })?;
    let bytes = if joined.is_empty() { first } else { &joined };
    let (all, _) = bytes.as_chunks::<N>();
    Ok(match select {
        Select::Element(_) => all.first().map_or(Value::Null, |bytes| Value::Double(number(*bytes))),
        Select::All | Select::Slice(..) => Value::Doubles(all.iter().map(|bytes| number(*bytes)).collect()),
    })
}

const TOO_LONG: &str = "an array is longer than the record";

/// Reads the selected items of an array.
fn items<'a, T: Clone>(
    select: Select,
    cursor: &mut Cursor<'a>,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, WireError>,
    one: impl Fn(T) -> Value,
    many: impl Fn(Arc<[T]>) -> Value,
) -> Result<Value, WireError> {
    let (from, to) = select.range();
    let mut kept: Vec<T> = Vec::new();
    let mut index = 0_usize;
    blocks(cursor, |cursor, count| {
        // Every item has at least one byte, so this bounds both the work and the memory by the input.
        if count > cursor.left() {
            return cursor.bad(TOO_LONG);
        }
        let end = index + count;
        let first = from.clamp(index, end);
        let last = to.clamp(first, end);
        (index..first).try_for_each(|_| read(cursor).map(drop))?;
        kept.reserve_exact(last - first);
        for _ in first..last {
            kept.push(read(cursor)?);
        }
        (last..end).try_for_each(|_| read(cursor).map(drop))?;
        index = end;
        Ok(())
    })?;
    Ok(match select {
        Select::Element(_) => kept.pop().map_or(Value::Null, one),
        Select::All | Select::Slice(..) => many(kept.into()),
    })
}
