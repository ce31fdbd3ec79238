//! Functions of templates: what the names and numbers of images say, and data queries made of them.
//!
//! One line in [`FUNCTIONS`] for each: what it takes, and what it does. They are pure, and everything that is wrong with an
//! argument is an error that names it; what can be said of a call before it is made is said by [`super::calls`].

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, ErrorKind, Value as Jinja};

use crate::rules::images::{
    Camera, ImageName, Instrument, KEYS, Query, Value, Values, day_obs_of, detector_name, detector_number,
    detectors,
};

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Text,
    Number,
    Either,
}

/// A function of templates.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// How it is called.
    pub(super) form: &'static str,
    /// How many arguments are needed.
    pub(super) least: usize,
    /// Its arguments by place.
    pub(super) args: &'static [(&'static str, Takes)],
    /// Its arguments by name.
    pub(super) keys: &'static [&'static str],
    call: fn(&[Jinja], &Kwargs) -> Result<Jinja, String>,
}

/// Functions of the template language itself.
pub(super) const BUILT_IN: &[&str] = &["range", "dict", "namespace", "caller"];

const OF: (&str, Takes) = ("the instrument", Takes::Text);
const IMAGE: (&str, Takes) = ("the image", Takes::Text);

/// All of ours.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "data_id",
        form: "data_id(image.imageName, detector=94)",
        least: 0,
        args: &[IMAGE],
        keys: &KEYS,
        call: data_id,
    },
    Function {
        name: "instrument",
        form: "instrument(image.imageName), or of a component: instrument(\"MTCamera\")",
        least: 1,
        args: &[("the image or component", Takes::Text)],
        keys: &[],
        call: |args, _| Ok(Jinja::from(Instrument::of(text(args, 0)?)?.to_string())),
    },
    Function {
        name: "image_name",
        form: "image_name(\"LSSTCam\", exposure), or image_name(\"LSSTCam\", day_obs, seq_num)",
        least: 2,
        args: &[
            OF,
            ("the exposure or day", Takes::Number),
            ("seq_num", Takes::Number),
            ("the controller", Takes::Text),
        ],
        keys: &[],
        call: image_name,
    },
    Function {
        name: "day_obs",
        form: "day_obs(image.imageName), or of a time in TAI seconds: day_obs(trigger.at)",
        least: 1,
        args: &[("the image or time", Takes::Either)],
        keys: &[],
        call: day_obs,
    },
    Function {
        name: "seq_num",
        form: "seq_num(image.imageName)",
        least: 1,
        args: &[IMAGE],
        keys: &[],
        call: |args, _| Ok(Jinja::from(text(args, 0)?.parse::<ImageName>()?.seq_num)),
    },
    Function {
        name: "exposure_id",
        form: "exposure_id(image.imageName)",
        least: 1,
        args: &[IMAGE],
        keys: &[],
        call: |args, _| Ok(Jinja::from(text(args, 0)?.parse::<ImageName>()?.exposure()?)),
    },
    Function {
        name: "detector_id",
        form: "detector_id(\"R22_S11\"), of another camera than LSSTCam: detector_id(\"R22_S11\", \"LSSTComCam\")",
        least: 1,
        args: &[("the detector", Takes::Text), OF],
        keys: &[],
        call: |args, _| Ok(Jinja::from(detector_number(camera(args, 1)?, text(args, 0)?)?)),
    },
    Function {
        name: "detector_name",
        form: "detector_name(94), of another camera than LSSTCam: detector_name(4, \"LSSTComCam\")",
        least: 1,
        args: &[("the detector", Takes::Number), OF],
        keys: &[],
        call: |args, _| Ok(Jinja::from(detector_name(camera(args, 1)?, number(args, 0)?)?)),
    },
    Function {
        name: "detectors",
        form: "detectors(\"LSSTCam\", \"R22\"), or \"science\" (if left out), \"guiders\", \"wavefront\", \"all\"",
        least: 1,
        args: &[OF, ("which", Takes::Text)],
        keys: &[],
        call: |args, _| Ok(Jinja::from(some_detectors(args)?.1)),
    },
    Function {
        name: "detector_names",
        form: "detector_names(\"LSSTCam\", \"R22\"), or \"science\" (if left out), \"guiders\", \"wavefront\", \"all\"",
        least: 1,
        args: &[OF, ("which", Takes::Text)],
        keys: &[],
        call: |args, _| {
            let (camera, numbers) = some_detectors(args)?;
            let names: Result<Vec<String>, String> =
                numbers.into_iter().map(|n| detector_name(camera, n)).collect();
            Ok(Jinja::from(names?))
        },
    },
];

pub(super) fn named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// Makes them known.
pub(super) fn register(env: &mut Environment<'static>) {
    for function in FUNCTIONS {
        env.add_function(function.name, move |args: &[Jinja], keys: Kwargs| run(function, args, &keys));
    }
}

fn run(function: &Function, args: &[Jinja], keys: &Kwargs) -> Result<Jinja, minijinja::Error> {
    checked(function, args, keys)
        .map_err(|e| minijinja::Error::new(ErrorKind::InvalidOperation, format!("{}: {e}", function.name)))
}

fn checked(function: &Function, args: &[Jinja], keys: &Kwargs) -> Result<Jinja, String> {
    if args.len() < function.least || args.len() > function.args.len() {
        return Err(format!("write {}", function.form));
    }
    for (arg, (what, _)) in args.iter().zip(function.args) {
        if arg.is_undefined() || arg.is_none() {
            return Err(format!("{what} has no value"));
        }
    }
    if let Some(unknown) = keys.args().find(|key| !function.keys.contains(key)) {
        return Err(format!("there is no argument \"{unknown}\"; write {}", function.form));
    }
    (function.call)(args, keys)
}

fn text(args: &[Jinja], place: usize) -> Result<&str, String> {
    let arg = args.get(place).ok_or("an argument is missing")?;
    arg.as_str().ok_or_else(|| format!("{arg} is {}, not a text", arg.kind()))
}

fn number(args: &[Jinja], place: usize) -> Result<i64, String> {
    let arg = args.get(place).ok_or("an argument is missing")?;
    whole(arg).ok_or_else(|| format!("{arg} is no whole number"))
}

fn whole(value: &Jinja) -> Option<i64> {
    (value.kind() == ValueKind::Number).then(|| value.as_i64()).flatten()
}

/// The camera that an argument names; LSSTCam if it is left out.
fn camera(args: &[Jinja], place: usize) -> Result<Camera, String> {
    match args.get(place) {
        Some(_) => Ok(Instrument::of(text(args, place)?)?.camera),
        None => Ok(Camera::LsstCam),
    }
}

fn some_detectors(args: &[Jinja]) -> Result<(Camera, Vec<i64>), String> {
    let camera = camera(args, 0)?;
    let which = if args.len() > 1 { text(args, 1)? } else { "science" };
    Ok((camera, detectors(camera, which)?))
}

fn day_obs(args: &[Jinja], _: &Kwargs) -> Result<Jinja, String> {
    if let Some(name) = args[0].as_str() {
        return Ok(Jinja::from(name.parse::<ImageName>()?.day_obs));
    }
    let time = f64::try_from(args[0].clone()).ok().filter(|_| args[0].kind() == ValueKind::Number);
    let time = time.ok_or_else(|| format!("{} is no name of an image and no time", args[0]))?;
    Ok(Jinja::from(day_obs_of(time)?))
}

fn image_name(args: &[Jinja], _: &Kwargs) -> Result<Jinja, String> {
    let (instrument, first) = (Instrument::of(text(args, 0)?)?, number(args, 1)?);
    if args.len() == 2 {
        return Ok(Jinja::from(ImageName::of_exposure(instrument.camera, first)?.to_string()));
    }
    let controller = if args.len() > 3 { text(args, 3)? } else { "O" };
    let mut letters = controller.chars();
    match (letters.next(), letters.next()) {
        (Some(controller), None) => {
            let image = ImageName::new(instrument.camera, controller, first, number(args, 2)?)?;
            Ok(Jinja::from(image.to_string()))
        }
        _ => Err(format!("{controller:?} is no controller of a camera: one letter")),
    }
}

/// A value of a data query.
///
/// # Errors
/// It is missing, or neither text nor whole number.
pub(super) fn value(key: &str, value: &Jinja) -> Result<Value, String> {
    if value.is_undefined() || value.is_none() {
        return Err(format!("{key} has no value"));
    }
    match (value.as_str(), whole(value)) {
        (Some(text), _) => Ok(Value::Text(text.to_owned())),
        (None, Some(number)) => Ok(Value::Number(number)),
        (None, None) => Err(format!("{key}: {value} is neither a text nor a whole number")),
    }
}

/// The values of a key of a data query.
pub(super) fn values(key: &str, given: &Jinja) -> Result<Values, String> {
    if given.kind() != ValueKind::Seq {
        return Ok(Values { all: vec![value(key, given)?], list: false });
    }
    let items = given.try_iter().map_err(|e| format!("{key}: {e}"))?;
    Ok(Values { all: items.map(|item| value(key, &item)).collect::<Result<_, _>>()?, list: true })
}

fn data_id(args: &[Jinja], keys: &Kwargs) -> Result<Jinja, String> {
    let mut query = Query::default();
    if !args.is_empty() {
        let name = text(args, 0)?;
        let image: ImageName = name.parse()?;
        let one = |value| Values { all: vec![value], list: false };
        if !keys.has("instrument") {
            query.add("instrument", one(Value::Text(image.instrument().to_string())))?;
        }
        query.add("exposure", one(Value::Text(name.to_owned())))?;
    }
    for key in keys.args() {
        let given: Jinja = keys.peek(key).map_err(|e| format!("{key}: {e}"))?;
        query.add(key, values(key, &given)?)?;
    }
    Ok(Jinja::from(query.text()?))
}
