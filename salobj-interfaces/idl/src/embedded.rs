//! The folder `salobj-interfaces/xml`, compiled in. A test keeps the list equal to the folder.

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../xml/", $path)))),*]
    };
}

/// Path below `xml/` and text of each file, sorted by path.
pub(crate) const FILES: &[(&str, &str)] = files![
    "ATCamera/ATCamera_Events.xml",
    "ATCamera/ATCamera_Telemetry.xml",
    "ATCamera/power.avsc",
    "ATMCS/ATMCS_Events.xml",
    "ATMCS/ATMCS_Telemetry.xml",
    "Catcher/Catcher_Commands.xml",
    "Catcher/Catcher_Events.xml",
    "Catcher/Catcher_Telemetry.xml",
    "ESS/ESS_Events.xml",
    "ESS/ESS_Telemetry.xml",
    "MTCamera/MTCamera_Events.xml",
    "MTMount/MTMount_Events.xml",
    "MTMount/MTMount_Telemetry.xml",
    "OCPS/OCPS_Commands.xml",
    "OCPS/OCPS_Events.xml",
    "SALGenerics.xml",
    "SALSubsystems.xml",
    "Script/Script_Commands.xml",
    "Script/Script_Events.xml",
    "ScriptQueue/ScriptQueue_Commands.xml",
    "ScriptQueue/ScriptQueue_Events.xml",
    "Test/Test_Commands.xml",
    "Test/Test_Events.xml",
    "Test/Test_Telemetry.xml",
];
