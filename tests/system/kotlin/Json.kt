@file:Suppress("unused", "UNUSED_PARAMETER")

package org.json

class JSONObject() {
    constructor(json: String) : this()

    fun getString(name: String): String = TODO()

    fun getInt(name: String): Int = TODO()

    fun getDouble(name: String): Double = TODO()

    fun getBoolean(name: String): Boolean = TODO()

    fun getJSONObject(name: String): JSONObject = TODO()

    fun getJSONArray(name: String): JSONArray = TODO()

    fun optJSONObject(name: String): JSONObject? = TODO()

    fun optDouble(name: String, fallback: Double): Double = TODO()

    fun isNull(name: String): Boolean = TODO()
}

class JSONArray() {
    constructor(json: String) : this()

    fun length(): Int = TODO()

    fun getString(index: Int): String = TODO()

    fun getInt(index: Int): Int = TODO()

    fun getDouble(index: Int): Double = TODO()

    fun getJSONObject(index: Int): JSONObject = TODO()
}
