"""SAL scripts that command the Catcher from a ScriptQueue."""
