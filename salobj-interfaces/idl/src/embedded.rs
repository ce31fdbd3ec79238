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
    "ATOODS/ATOODS_Events.xml",
    "ATPneumatics/ATPneumatics_Events.xml",
    "CCCamera/CCCamera_Events.xml",
    "CCOODS/CCOODS_Events.xml",
    "Catcher/Catcher_Commands.xml",
    "Catcher/Catcher_Events.xml",
    "Catcher/Catcher_Telemetry.xml",
    "DIMM/DIMM_Events.xml",
    "ESS/ESS_Events.xml",
    "ESS/ESS_Telemetry.xml",
    "HVAC/HVAC_Events.xml",
    "HVAC/HVAC_Telemetry.xml",
    "MTAOS/MTAOS_Events.xml",
    "MTAirCompressor/MTAirCompressor_Telemetry.xml",
    "MTCamera/MTCamera_Events.xml",
    "MTDome/MTDome_Events.xml",
    "MTDome/MTDome_Telemetry.xml",
    "MTHexapod/MTHexapod_Events.xml",
    "MTHexapod/MTHexapod_Telemetry.xml",
    "MTM1M3TS/MTM1M3TS_Events.xml",
    "MTM1M3TS/MTM1M3TS_Telemetry.xml",
    "MTM2/MTM2_Events.xml",
    "MTM2/MTM2_Telemetry.xml",
    "MTMount/MTMount_Events.xml",
    "MTMount/MTMount_Telemetry.xml",
    "MTOODS/MTOODS_Events.xml",
    "MTRotator/MTRotator_Events.xml",
    "MTVMS/MTVMS_Telemetry.xml",
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
    "WFOODS/WFOODS_Events.xml",
    "WeatherForecast/WeatherForecast_Telemetry.xml",
];
